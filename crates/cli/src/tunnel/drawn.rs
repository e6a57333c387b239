//! `daylight tunnel card print`: codes, fliers, moving codes.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use daylight_card::flier::{Flier, Fonts, Scene, Words, to_pdf};
use daylight_card::frame::{SYMBOL_BYTES, frames};
use daylight_card::keyring::Bundle;
use daylight_card::qr::{Matrix, to_gif};
use daylight_card::{Kind, line};

use super::args::{Drawing, Print};
use super::given;
use crate::interrupt;
use crate::listing::print;

/// A moving picture has this many times as many codes as are needed; then it begins anew.
const TIMES: u32 = 3;

pub(super) fn run(args: &Print) -> Result<ExitCode> {
    let bundle = given::bundle(&args.card)?;
    let lines = lines(&bundle)?;
    let one = || match &lines[..] {
        [line] => Ok(line),
        [] => bail!("a list is too long for one code; use --format gif, or terminal for a moving one"),
        _ => bail!("there are {} in it, and this draws one; give one", lines.len()),
    };
    let bytes = match args.format {
        Drawing::Terminal if lines.is_empty() => return play(args, &bundle),
        Drawing::Terminal => {
            one().and_then(|line| Ok(Matrix::new(line)?.to_terminal(colours()).into_bytes()))?
        }
        Drawing::Line => lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect(),
        Drawing::Png => Matrix::new(one()?)?.to_png(args.scale)?,
        Drawing::Svg => Matrix::new(one()?)?.to_svg().into_bytes(),
        Drawing::Flier => to_pdf(&scenes(args, &bundle)?)?,
        Drawing::FlierSvg => match &scenes(args, &bundle)?[..] {
            [scene] => scene.to_svg().into_bytes(),
            more => bail!("an SVG is one page, and these are {}; use --format flier", more.len()),
        },
        Drawing::Gif => to_gif(&codes(whole(&bundle)?)?, args.scale, args.rate)?,
    };
    if args.output.as_os_str() != "-" {
        std::fs::write(&args.output, bytes)
            .with_context(|| format!("can't write {}", args.output.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let of_text = matches!(args.format, Drawing::Terminal | Drawing::Line | Drawing::Svg | Drawing::FlierSvg);
    if !of_text && std::io::stdout().is_terminal() {
        bail!("a terminal can't show this; say where to with --output FILE");
    }
    print(&bytes)
}

/// The lines of whatever fits lines.
fn lines(bundle: &Bundle) -> Result<Vec<String>> {
    let cards = bundle.cards.iter().map(|card| line::write(Kind::Card, card.as_bytes()));
    let shares = bundle.shares.iter().map(|share| line::write(Kind::Share, &share.encode()));
    Ok(cards.chain(shares).collect::<Result<_, _>>()?)
}

/// Black on white, if the terminal has colours.
fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn scenes(args: &Print, bundle: &Bundle) -> Result<Vec<Scene>> {
    let words = match &args.words {
        Some(path) => given::words(path)?,
        None => Words::built_in(&args.language)?,
    };
    let read = |path: &std::path::Path| {
        std::fs::read(path).with_context(|| format!("can't read {}", path.display()))
    };
    let fonts = match (&args.font, &args.bold_font) {
        (None, _) => Fonts::default(),
        (Some(font), bold) => Fonts::new(read(font)?, read(bold.as_ref().unwrap_or(font))?)?,
    };
    let mut scenes = Vec::new();
    for card in &bundle.cards {
        scenes.push(Scene::new(Flier::Card(card), &words, &fonts)?);
    }
    if bundle.shares.is_empty() {
        if scenes.is_empty() {
            bail!("a flier carries a card or a share; make one of each card of the list, or seal the list");
        }
        return Ok(scenes);
    }
    let (Some(sealed), Some(shares)) = (&args.sealed, args.shares) else {
        bail!(
            "fliers of shares say how many there are and until when: give --shares NUMBER and --sealed FILE"
        );
    };
    let held = given::of_file(sealed)?;
    let Some(sealed) = held.sealed.first() else { bail!("{} holds no sealed list", sealed.display()) };
    for share in &bundle.shares {
        let flier = Flier::Share(share, shares, sealed.validity().last);
        scenes.push(Scene::new(flier, &words, &fonts)?);
    }
    Ok(scenes)
}

/// The bytes that cross a screen.
fn whole(bundle: &Bundle) -> Result<&[u8]> {
    let lists = bundle.lists.iter().map(|list| list.as_bytes());
    let sealed = bundle.sealed.iter().map(|sealed| sealed.as_bytes());
    let mut all = lists.chain(sealed).chain(bundle.cards.iter().map(|card| card.as_bytes()));
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => bail!("there is no list in it"),
        _ => bail!("there is more than one thing in it; make a list of them"),
    }
}

fn codes(bytes: &[u8]) -> Result<Vec<Matrix>> {
    let needed = bytes.len().div_ceil(SYMBOL_BYTES.into()) as u32;
    let frames = frames(bytes, SYMBOL_BYTES, 0, TIMES * needed + 2)?;
    let lines = frames.iter().map(|frame| line::write(Kind::Frame, &frame.encode()));
    Ok(Matrix::of_one_size(&lines.collect::<Result<Vec<_>, _>>()?)?)
}

/// Shows codes one after the other until it is interrupted.
fn play(args: &Print, bundle: &Bundle) -> Result<ExitCode> {
    if !std::io::stdout().is_terminal() {
        bail!("a moving code needs a terminal; or use --format gif --output FILE");
    }
    interrupt::watch()?;
    let codes = codes(whole(bundle)?)?;
    let mut out = std::io::stdout();
    write!(out, "\x1b[2J\x1b[?25l")?;
    for code in codes.iter().cycle() {
        write!(out, "\x1b[H{}", code.to_terminal(colours()))?;
        out.flush()?;
        std::thread::sleep(Duration::from_millis(1000 / u64::from(args.rate)));
        if interrupt::is_interrupted() {
            break;
        }
    }
    write!(out, "\x1b[?25h")?;
    Ok(ExitCode::SUCCESS)
}
