//! Codes are read by two scanners that are not ours.

use daylight_card::frame::{Collector, SYMBOL_BYTES, frames};
use daylight_card::qr::{Matrix, to_gif};
use daylight_card::{Kind, line};

use crate::{card, run};

/// What `rqrr` reads in a picture of one byte a pixel.
pub(crate) fn scan(width: usize, height: usize, pixel: impl FnMut(usize, usize) -> u8) -> Vec<String> {
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, pixel);
    image.detect_grids().iter().filter_map(|grid| grid.decode().ok()).map(|(_, text)| text).collect()
}

/// The bytes of a greyscale or black and white PNG, one a pixel.
pub(crate) fn pixels(bytes: &[u8]) -> (usize, usize, Vec<u8>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().unwrap();
    let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut buffer).unwrap();
    let channels = info.color_type.samples();
    let grey = buffer.chunks_exact(channels).map(|pixel| pixel[0]).collect();
    (info.width as usize, info.height as usize, grey)
}

fn card_line() -> String {
    line::write(Kind::Card, card(1).as_bytes()).unwrap()
}

#[test]
fn rqrr_reads_the_png() {
    for scale in [2, 3, 8] {
        let png = Matrix::new(&card_line()).unwrap().to_png(scale).unwrap();
        let (width, height, grey) = pixels(&png);
        assert_eq!(scan(width, height, |x, y| grey[y * width + x]), [card_line()]);
    }
}

#[test]
fn zbarimg_reads_the_png() {
    let folder = tempfile::tempdir().unwrap();
    let png = Matrix::new(&card_line()).unwrap().to_png(4).unwrap();
    std::fs::write(folder.path().join("card.png"), png).unwrap();
    let Some(output) = run("zbarimg", &["-q", "--raw", "card.png"], folder.path()) else { return };
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), card_line());
}

/// What a terminal shows, as a camera sees it.
#[test]
fn rqrr_reads_the_terminal() {
    for colours in [true, false] {
        let shown = Matrix::new(&card_line()).unwrap().to_terminal(colours);
        let rows: Vec<Vec<char>> = shown
            .lines()
            .map(|line| line.replace("\x1b[38;5;16;48;5;231m", "").replace("\x1b[0m", "").chars().collect())
            .collect();
        let (width, height) = (rows[0].len(), 2 * rows.len());
        let pixel = |x: usize, y: usize| {
            let printed = match (rows[y / 2][x], y % 2) {
                ('█', _) | ('▀', 0) | ('▄', 1) => true,
                (' ' | '▀' | '▄', _) => false,
                (other, _) => panic!("{other:?}"),
            };
            // With colours print is black on white; without, light on dark.
            if printed == colours { 0 } else { 255 }
        };
        // Around it there is the terminal's ground.
        let ground = if colours { 255 } else { 0 };
        let (frame, scale) = (2, 4);
        let texts = scan((width + 2 * frame) * scale, (height + 2 * frame) * scale, |x, y| {
            let (x, y) = ((x / scale).wrapping_sub(frame), (y / scale).wrapping_sub(frame));
            if x < width && y < height { pixel(x, y) } else { ground }
        });
        assert_eq!(texts, [card_line()], "colours: {colours}");
    }
}

/// A list crosses a screen, though some of its codes could be smaller than others: every third picture of the GIF is missed, and it comes over.
#[test]
fn a_list_crosses_a_screen() {
    let bytes: Vec<u8> = (0..2000u32).map(|at| if at < 600 { 0 } else { (at * at / 8) as u8 }).collect();
    let frames = frames(&bytes, SYMBOL_BYTES, 0, 30).unwrap();
    let lines: Vec<String> =
        frames.iter().map(|frame| line::write(Kind::Frame, &frame.encode()).unwrap()).collect();
    let codes = Matrix::of_one_size(&lines).unwrap();
    let gif = to_gif(&codes, 3, 5).unwrap();
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    let mut decoder = options.read_info(&gif[..]).unwrap();
    let (mut collector, mut given, mut shown) = (Collector::new(), None, 0);
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        shown += 1;
        if shown % 3 == 0 || given.is_some() {
            continue;
        }
        let width = usize::from(frame.width);
        let texts =
            scan(width, frame.height.into(), |x, y| if frame.buffer[y * width + x] == 1 { 0 } else { 255 });
        given = collector.add_line(&texts[0]).unwrap();
    }
    assert_eq!((given, shown), (Some(bytes), 30));
}
