//! QR codes (ISO/IEC 18004) and the pictures of them: SVG, PNG, GIF, and characters for a terminal.
//!
//! Lines are written in the alphabet that QR codes hold in 5½ bits a character. The level is M, which survives a fold or a
//! stain over a seventh of the code.

use qrcode::{Color, EcLevel, QrCode, Version};

use crate::error::{Error, Result};

/// White modules around a code: scanners need four.
pub const QUIET: usize = 4;

/// A code's modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    side: usize,
    dark: Vec<bool>,
}

impl Matrix {
    /// The code of a line.
    ///
    /// # Errors
    /// If it has more characters than a code can hold.
    pub fn new(line: &str) -> Result<Self> {
        QrCode::with_error_correction_level(line, EcLevel::M).map(Self::of).map_err(cannot)
    }

    /// The codes of several lines, all of the size that the longest one needs: digits take less room than letters, so lines
    /// of one length would not have it.
    ///
    /// # Errors
    /// If one has more characters than a code can hold.
    pub fn of_one_size(lines: &[String]) -> Result<Vec<Self>> {
        let codes = lines.iter().map(|line| Self::new(line)).collect::<Result<Vec<_>>>()?;
        let side = codes.iter().map(Self::side).max().unwrap_or_default();
        let version = i16::try_from(side.saturating_sub(17) / 4).unwrap_or_default();
        let enlarge = |(code, line): (Self, &String)| {
            if code.side == side {
                return Ok(code);
            }
            QrCode::with_version(line, Version::Normal(version), EcLevel::M).map(Self::of).map_err(cannot)
        };
        codes.into_iter().zip(lines).map(enlarge).collect()
    }

    fn of(code: QrCode) -> Self {
        let dark = code.to_colors().into_iter().map(|colour| colour == Color::Dark).collect();
        Self { side: code.width(), dark }
    }

    /// Modules on a side, without the quiet zone.
    #[must_use]
    pub fn side(&self) -> usize {
        self.side
    }

    /// Whether this module is dark; what lies outside is not.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        x < self.side && y < self.side && self.dark[y * self.side + x]
    }

    /// Dark modules that lie side by side: column, row, how many.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..self.side).flat_map(move |y| {
            let mut runs = Vec::new();
            let mut x = 0;
            while x < self.side {
                let len = (x..self.side).take_while(|x| self.is_dark(*x, y)).count();
                if len > 0 {
                    runs.push((x, y, len));
                }
                x += len + 1;
            }
            runs
        })
    }

    /// The outline of the dark modules, for the `d` of an SVG path: a module is one unit, the first one at 0, 0.
    #[must_use]
    pub fn svg_path(&self) -> String {
        self.runs().map(|(x, y, len)| format!("M{x} {y}h{len}v1h-{len}z")).collect()
    }

    /// A picture in SVG, with its quiet zone, one unit a module.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let side = self.side + 2 * QUIET;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\n\
             <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/>\n\
             <path transform=\"translate({QUIET} {QUIET})\" d=\"{}\"/>\n</svg>\n",
            self.svg_path()
        )
    }

    /// Rows of pixels with the quiet zone, true where dark, a module being `scale` pixels wide.
    fn pixels(&self, scale: usize) -> impl Iterator<Item = Vec<bool>> {
        let side = self.side + 2 * QUIET;
        (0..side * scale).map(move |y| {
            let at = move |pixel: usize| (pixel / scale).wrapping_sub(QUIET);
            (0..side * scale).map(|x| self.is_dark(at(x), at(y))).collect()
        })
    }

    /// Pixels on a side of a picture.
    fn pixel_side(&self, scale: u8) -> Result<u16> {
        u16::try_from((self.side + 2 * QUIET) * usize::from(scale))
            .ok()
            .filter(|side| *side > 0)
            .ok_or_else(|| Error::Drawing("a module must be at least one pixel".to_owned()))
    }

    /// A picture in PNG, black and white, a module being `scale` pixels wide.
    ///
    /// # Errors
    /// If `scale` is 0.
    pub fn to_png(&self, scale: u8) -> Result<Vec<u8>> {
        let side = self.pixel_side(scale)?;
        let failed = |why: png::EncodingError| Error::Drawing(format!("the PNG can't be written: {why}"));
        let mut rows = Vec::new();
        for row in self.pixels(scale.into()) {
            let byte = |eight: &[bool]| {
                eight.iter().enumerate().fold(0, |byte, (at, dark)| byte | u8::from(!dark) << (7 - at))
            };
            rows.extend(row.chunks(8).map(byte));
        }
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, side.into(), side.into());
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&rows).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(out)
    }

    /// For a terminal: two modules a character. With `colours`, black on white whatever the terminal's own colours are;
    /// without, for light characters on a dark ground.
    #[must_use]
    pub fn to_terminal(&self, colours: bool) -> String {
        // One module less of the quiet zone on each side than on paper: a screen is small, and scanners bear it.
        let quiet = QUIET - 1;
        let side = self.side + 2 * quiet;
        let dark = |x: usize, y: usize| self.is_dark(x.wrapping_sub(quiet), y.wrapping_sub(quiet));
        let mut text = String::new();
        for y in (0..side).step_by(2) {
            if colours {
                text.push_str("\x1b[38;5;16;48;5;231m");
            }
            for x in 0..side {
                // Without colours what is printed is light.
                let (upper, lower) = (dark(x, y) == colours, dark(x, y + 1) == colours);
                // Below the last row there is nothing to print.
                let lower = lower && (colours || y + 1 < side);
                text.push(match (upper, lower) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            text.push_str(if colours { "\x1b[0m\n" } else { "\n" });
        }
        text
    }
}

fn cannot(why: qrcode::types::QrError) -> Error {
    Error::Drawing(format!("the code can't be drawn: {why}"))
}

/// A moving picture of codes in GIF, over and over, `per_second` of them a second.
///
/// # Errors
/// If there are none, they are not of one size, or `scale` or `per_second` is 0.
pub fn to_gif(codes: &[Matrix], scale: u8, per_second: u8) -> Result<Vec<u8>> {
    let failed = |why: gif::EncodingError| Error::Drawing(format!("the GIF can't be written: {why}"));
    let first = codes.first().ok_or_else(|| Error::Drawing("there are no codes to draw".to_owned()))?;
    if codes.iter().any(|code| code.side != first.side) {
        return Err(Error::Drawing("the codes are not of one size".to_owned()));
    }
    let side = first.pixel_side(scale)?;
    let delay = 100_u16
        .checked_div(per_second.into())
        .ok_or_else(|| Error::Drawing("there must be at least one code a second".to_owned()))?;
    let mut out = Vec::new();
    let mut encoder = gif::Encoder::new(&mut out, side, side, &[255, 255, 255, 0, 0, 0]).map_err(failed)?;
    encoder.set_repeat(gif::Repeat::Infinite).map_err(failed)?;
    for code in codes {
        let pixels: Vec<u8> = code.pixels(scale.into()).flatten().map(u8::from).collect();
        let mut frame = gif::Frame::from_indexed_pixels(side, side, pixels, None);
        frame.delay = delay;
        encoder.write_frame(&frame).map_err(failed)?;
    }
    drop(encoder);
    Ok(out)
}
