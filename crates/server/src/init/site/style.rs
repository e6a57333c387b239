//! How a site looks: colours, type, layout, and the names in its markup.

use daylight_card::Day;
use rand::{Rng, RngExt as _};

use super::pick;

const SERIF: &str = "Georgia, 'Times New Roman', serif";
const SANS: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const HUMANIST: &str = "'Gill Sans', Calibri, 'Trebuchet MS', sans-serif";
const BOOKISH: &str = "'Iowan Old Style', Palatino, 'Palatino Linotype', serif";
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

#[derive(Clone, Copy)]
enum Layout {
    /// The picture on top, everything below it in a column.
    Banner,
    /// Name and links on the left.
    Sidebar,
    /// A line of links on top, a card below it.
    Card,
}

/// How a site looks.
pub(super) struct Style {
    /// Degrees on the wheel of colours.
    pub(super) hue: u32,
    /// Of the accents, likewise.
    pub(super) accent: u32,
    layout: Layout,
    heading_font: &'static str,
    body_font: &'static str,
    width_em: u32,
    radius_px: u32,
    line_height: &'static str,
    /// Of the parts: all, head, links, text, note, foot.
    classes: [String; 6],
    note_tag: &'static str,
    is_date_long: bool,
    footer: &'static str,
}

/// What stands on a page.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    pub(super) name: &'a str,
    pub(super) tagline: &'a str,
    pub(super) sheet: &'a str,
    pub(super) picture: &'a str,
    pub(super) links: &'a str,
    pub(super) heading: &'a str,
    pub(super) body: &'a str,
}

impl Style {
    pub(super) fn draw(random: &mut impl Rng) -> Self {
        let hue = random.random_range(0..360);
        let prefix = pick(&["", "", "", "c-", "s-", "site-"], random);
        let mut class = |names: &[&'static str]| format!("{prefix}{}", pick(names, random));
        let classes = [
            class(&["page", "wrap", "outer", "shell", "all"]),
            class(&["head", "top", "masthead", "header", "brand"]),
            class(&["nav", "menu", "links", "tabs"]),
            class(&["text", "main", "content", "body", "col"]),
            class(&["note", "entry", "item", "post", "bit"]),
            class(&["foot", "end", "bottom", "footer", "colophon"]),
        ];
        let (heading_font, body_font) = match random.random_range(0..5) {
            0 => (SERIF, SANS),
            1 => (SANS, SANS),
            2 => (BOOKISH, BOOKISH),
            3 => (HUMANIST, SERIF),
            _ => (SERIF, HUMANIST),
        };
        Self {
            hue,
            accent: (hue + [150, 180, 210, 40, 320][random.random_range(0..5)]) % 360,
            layout: [Layout::Banner, Layout::Sidebar, Layout::Card][random.random_range(0..3)],
            heading_font,
            body_font,
            width_em: random.random_range(38..50),
            radius_px: [0, 3, 6, 12][random.random_range(0..4)],
            line_height: pick(&["1.5", "1.55", "1.6", "1.65"], random),
            classes,
            note_tag: pick(&["article", "div", "section"], random),
            is_date_long: random.random(),
            footer: pick(
                &[
                    "All text and pictures are our own.",
                    "Made by hand, and now and then brought up to date.",
                    "Found a mistake? Tell us when you see us.",
                    "No cookies, no scripts.",
                    "Thank you for visiting.",
                ],
                random,
            ),
        }
    }

    pub(super) fn link(&self, file: &str, title: &str, is_here: bool) -> String {
        let to = if file == "index" { "./".to_owned() } else { format!("{file}.html") };
        let here = if is_here { " aria-current=\"page\"" } else { "" };
        format!("<a href=\"{to}\"{here}>{title}</a>\n")
    }

    pub(super) fn note(&self, day: Day, heading: &str, text: &str) -> String {
        let (year, month, of_month) = day.civil();
        let shown = match MONTHS.get(usize::from(month.unsigned_abs()).saturating_sub(1)) {
            Some(month) if self.is_date_long => format!("{of_month} {month} {year}"),
            _ => day.to_string(),
        };
        let (tag, class) = (self.note_tag, &self.classes[4]);
        format!(
            "<{tag} class=\"{class}\">\n<h3>{heading}</h3>\n<time datetime=\"{day}\">{shown}</time>\n<p>{text}</p>\n</{tag}>\n"
        )
    }

    pub(super) fn page(&self, frame: &Frame<'_>) -> String {
        let [all, head, nav, text, _, foot] = &self.classes;
        let Frame { title, name, tagline, sheet, picture, links, heading, body } = frame;
        let image = format!("<img src=\"{picture}\" alt=\"\" width=\"1200\" height=\"360\">\n");
        let (before, inside) = match self.layout {
            Layout::Banner => (image.as_str(), ""),
            Layout::Sidebar | Layout::Card => ("", image.as_str()),
        };
        format!(
            "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>{title}</title>
<link rel=\"stylesheet\" href=\"{sheet}\">
<link rel=\"icon\" href=\"favicon.svg\" type=\"image/svg+xml\">
</head>
<body>
<div class=\"{all}\">
<header class=\"{head}\">
{before}<a class=\"{head}-name\" href=\"./\">{name}</a>
<p>{tagline}</p>
</header>
<nav class=\"{nav}\">
{links}</nav>
<main class=\"{text}\">
{inside}<h1>{heading}</h1>
{body}</main>
<footer class=\"{foot}\"><p>{}</p></footer>
</div>
</body>
</html>
",
            self.footer
        )
    }

    pub(super) fn sheet(&self) -> String {
        let [all, head, nav, text, note, foot] = &self.classes;
        let Self { hue, accent, width_em, radius_px, line_height, heading_font, body_font, .. } = self;
        let common = format!(
            "body {{ margin: 0; background: hsl({hue} 30% 96%); color: hsl({hue} 20% 18%); font: 1.06rem/{line_height} {body_font}; }}
h1, h2, h3, .{head}-name {{ font-family: {heading_font}; line-height: 1.2; color: hsl({hue} 45% 25%); }}
h1 {{ font-size: 1.7rem; }}
h2 {{ font-size: 1.3rem; margin-top: 2em; }}
h3 {{ font-size: 1.08rem; margin: 0; }}
a {{ color: hsl({accent} 60% 33%); }}
img {{ max-width: 100%; height: auto; display: block; border-radius: {radius_px}px; }}
time {{ font-size: .85rem; color: hsl({hue} 12% 45%); }}
.{head}-name {{ font-size: 1.9rem; font-weight: bold; text-decoration: none; }}
.{head} p {{ margin: .2em 0 1em; color: hsl({hue} 15% 40%); }}
.{nav} a {{ text-decoration: none; }}
.{nav} a[aria-current] {{ font-weight: bold; color: inherit; }}
.{note} {{ margin: 1.2em 0; padding-left: .9em; border-left: 3px solid hsl({accent} 50% 70%); }}
.{note} p {{ margin: .3em 0; }}
.{foot} {{ margin-top: 3em; padding: 1em 0; border-top: 1px solid hsl({hue} 20% 85%); font-size: .85rem; color: hsl({hue} 12% 45%); }}
"
        );
        let layout = match self.layout {
            Layout::Banner => format!(
                ".{all} {{ max-width: {width_em}em; margin: 0 auto; padding: 0 1.2em; }}
.{head}-name {{ display: inline-block; margin-top: .7em; }}
.{nav} {{ display: flex; flex-wrap: wrap; gap: 1.4em; padding: .6em 0; border-bottom: 2px solid hsl({hue} 35% 60%); }}
"
            ),
            Layout::Sidebar => format!(
                ".{all} {{ max-width: {}em; margin: 0 auto; padding: 2em 1.2em; display: grid; grid-template-columns: 14em 1fr; gap: 0 3em; }}
.{nav} {{ grid-column: 1; display: flex; flex-direction: column; gap: .6em; align-self: start; }}
.{text} {{ grid-column: 2; grid-row: 1 / span 3; }}
.{foot} {{ grid-column: 1 / span 2; }}
@media (max-width: 46em) {{ .{all} {{ display: block; }} .{nav} {{ margin-bottom: 1.5em; }} }}
",
                width_em + 18
            ),
            Layout::Card => format!(
                ".{all} {{ max-width: {width_em}em; margin: 2em auto; padding: 1.2em 2em; background: #fff; border-radius: {radius_px}px; box-shadow: 0 1px 6px hsl({hue} 30% 80%); }}
.{nav} {{ display: flex; flex-wrap: wrap; gap: .4em; margin-bottom: 1.4em; }}
.{nav} a {{ padding: .3em .9em; background: hsl({hue} 35% 92%); border-radius: {radius_px}px; }}
"
            ),
        };
        common + &layout
    }
}
