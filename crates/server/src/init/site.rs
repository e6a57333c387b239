//! A small site to begin with, put together by chance, so that it is not the same on every server.
//!
//! The words are in `data/sites`; layout, colours, names of files and of styles are drawn here.

mod picture;
mod style;

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use daylight_card::Day;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng, RngExt as _};
use serde::Deserialize;

use super::files::Folder;
use picture::Picture;
use style::Style;

const THEMES: [&str; 5] = [
    include_str!("../../../../data/sites/choir.toml"),
    include_str!("../../../../data/sites/cycles.toml"),
    include_str!("../../../../data/sites/garden.toml"),
    include_str!("../../../../data/sites/history.toml"),
    include_str!("../../../../data/sites/stars.toml"),
];
const PLACE_BEGINNINGS: &[&str] = &[
    "Alder", "Ash", "Barley", "Birch", "Brook", "Chalk", "Cherry", "Copper", "Elm", "Fern", "Fox", "Grange",
    "Hazel", "Heron", "Hollow", "Juniper", "Kiln", "Larch", "Linden", "Maple", "Marsh", "Mill", "Oak",
    "Orchard", "Otter", "Poplar", "Quarry", "Raven", "Reed", "Rowan", "Sand", "Sorrel", "Stone", "Swan",
    "Thistle", "Tower", "Wharf", "Willow",
];
const PLACE_ENDINGS: &[&str] = &[
    "Bank", "Bridge", "Common", "Corner", "Court", "Fields", "Gate", "Green", "Hill", "Lane", "Park", "Road",
    "Row", "Side", "Street", "Yard",
];
const NOTES_HEADINGS: &[&str] = &["News", "Notes", "Lately", "Noticeboard", "From the diary"];
const HOME: &[&str] = &["Home", "Start", "Overview"];
const PICTURE_FOLDERS: &[&str] = &["img", "images", "media", "pictures", "assets", "static"];
const STYLE_FILES: &[&str] = &["style", "main", "site", "screen", "base", "layout"];
/// Notes begin so many days ago at the most, and go back from there.
const NOTE_AGE_DAYS: std::ops::Range<u32> = 3..40;
/// So old its picture is.
const SITE_AGE_DAYS: std::ops::Range<u32> = 60..900;
const DAY_S: u64 = 86_400;

/// The words of a kind of site.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Theme {
    nouns: Vec<String>,
    taglines: Vec<String>,
    picture: Picture,
    /// Paragraphs, each with its alternatives.
    welcome: Vec<Vec<String>>,
    /// Heading and text.
    notes: Vec<(String, String)>,
    pages: Vec<Page>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    file: Vec<String>,
    title: Vec<String>,
    paragraphs: Vec<Vec<String>>,
}

/// A page whose words are chosen.
struct Drawn {
    /// Without its ending.
    file: String,
    title: String,
    body: String,
}

/// Writes a site into an empty folder; its title.
pub(super) fn make(folder: &Folder, today: Day, random: &mut impl Rng) -> io::Result<String> {
    let theme: Theme = toml::from_str(pick(&THEMES, random)).map_err(io::Error::other)?;
    let place = format!("{} {}", pick(PLACE_BEGINNINGS, random), pick(PLACE_ENDINGS, random));
    let name = format!("{place} {}", pick_owned(&theme.nouns, random));
    let fill = |text: &str| text.replace("{name}", &name).replace("{place}", &place);
    let paragraphs = |all: &[Vec<String>], random: &mut _| -> String {
        all.iter()
            .map(|alternatives| format!("<p>{}</p>\n", fill(&pick_owned(alternatives, random))))
            .collect()
    };
    let style = Style::draw(random);
    let (notes, news_age) = notes(&theme, &style, today, random);
    let welcome = paragraphs(&theme.welcome, random) + &notes;
    let mut pages = vec![Drawn { file: "index".into(), title: pick(HOME, random).into(), body: welcome }];
    let mut others: Vec<&Page> = theme.pages.iter().collect();
    others.shuffle(random);
    for page in others {
        let (file, title) = (pick_owned(&page.file, random), pick_owned(&page.title, random));
        pages.push(Drawn { file, title, body: paragraphs(&page.paragraphs, random) });
    }
    let media = pick(PICTURE_FOLDERS, random);
    let picture = format!("{media}/{}.svg", pick(&["header", "banner", "cover", "front", "top"], random));
    let sheet = format!("{}.css", pick(STYLE_FILES, random));
    let sheet = if random.random() { sheet } else { format!("{media}/{sheet}") };
    folder.make_folder(Path::new(media))?;
    let write = |name: &str, content: &str, age_days: u32, random: &mut _| {
        folder.write(Path::new(name), content.as_bytes(), Some(time(today, age_days, random)))
    };
    let age = random.random_range(SITE_AGE_DAYS);
    let drawn = theme.picture.draw(&style, random);
    write(&picture, &drawn, age, random)?;
    write("favicon.svg", &picture::icon(&style, random), age, random)?;
    write(&sheet, &style.sheet(), age - age / 4, random)?;
    if random.random() {
        write("robots.txt", "User-agent: *\nDisallow:\n", age, random)?;
    }
    let tagline = pick_owned(&theme.taglines, random);
    for page in &pages {
        let links: String = pages
            .iter()
            .map(|other| style.link(&other.file, &other.title, other.file == page.file))
            .collect();
        let title = if page.file == "index" { name.clone() } else { format!("{} – {name}", page.title) };
        let frame = style::Frame {
            title: &title,
            name: &name,
            tagline: &tagline,
            sheet: &sheet,
            picture: &picture,
            links: &links,
            heading: if page.file == "index" { "Welcome" } else { &page.title },
            body: &page.body,
        };
        let age = if page.file == "index" { news_age } else { random.random_range(news_age..=age) };
        write(&format!("{}.html", page.file), &style.page(&frame), age, random)?;
    }
    Ok(name)
}

/// Some of the notes, the newest first, and how many days ago that was.
fn notes(theme: &Theme, style: &Style, today: Day, random: &mut impl Rng) -> (String, u32) {
    let mut html = format!("<h2>{}</h2>\n", pick(NOTES_HEADINGS, random));
    let count = random.random_range(3..=5.min(theme.notes.len()));
    let newest = random.random_range(NOTE_AGE_DAYS);
    let mut age = newest;
    for (heading, text) in theme.notes.sample(random, count) {
        let day = Day::of_unix_s(u64::from(today.number().saturating_sub(age)) * DAY_S);
        html.push_str(&style.note(day, heading, text));
        age += random.random_range(NOTE_AGE_DAYS);
    }
    (html, newest)
}

/// Some time on a day so many days ago. A site whose files are all as old as its certificate looks like what it is.
fn time(today: Day, age_days: u32, random: &mut impl Rng) -> SystemTime {
    let day = u64::from(today.number().saturating_sub(age_days));
    UNIX_EPOCH + Duration::from_secs(day * DAY_S + random.random_range(8 * 3600..22 * 3600))
}

/// One of a list that has some.
fn pick<'a>(of: &[&'a str], random: &mut impl Rng) -> &'a str {
    of.choose(random).copied().unwrap_or_default()
}

fn pick_owned(of: &[String], random: &mut impl Rng) -> String {
    of.choose(random).cloned().unwrap_or_default()
}
