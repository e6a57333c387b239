//! Where everything stands on the page. Lengths are millimetres from the upper left corner.

use rustybuzz::Face;

use super::font::{Fonts, width};
use super::words::Words;
use crate::error::{Error, Result};
use crate::qr::{Matrix, QUIET};
use crate::seal::Share;
use crate::signed::Kind;
use crate::{Card, Day, line};

/// A4.
pub(super) const PAGE: (f32, f32) = (210.0, 297.0);
const MARGIN: f32 = 16.0;
const RIGHT: f32 = PAGE.0 - MARGIN;
/// Where the strips begin.
const CUT: f32 = 230.0;
const STRIPS: u8 = 6;
const STRIP: f32 = PAGE.0 / STRIPS as f32;
/// The sides that the large code may have, the best first.
const SIDES: [f32; 4] = [84.0, 78.0, 72.0, 66.0];
/// A point is this much.
pub(super) const POINT: f32 = 25.4 / 72.0;

/// What a flier carries.
#[derive(Clone, Copy, Debug)]
pub enum Flier<'a> {
    /// A card.
    Card(&'a Card),
    /// A share of a list of so many shares, that is good until this day.
    Share(&'a Share, usize, Day),
}

/// Something on the page.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// A filled rectangle.
    Rect { x: f32, y: f32, width: f32, height: f32 },
    /// A dashed line where one cuts.
    Cut { from: (f32, f32), to: (f32, f32) },
    /// A line of text on its baseline; `x` is its beginning, or its middle.
    Text { x: f32, y: f32, text: String, style: Style },
    /// A code in a square without its quiet zone.
    Code { x: f32, y: f32, side: f32, matrix: Matrix },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// In millimetres.
    pub(super) size: f32,
    pub(super) bold: bool,
    pub(super) white: bool,
    pub(super) centred: bool,
}

impl Style {
    const fn points(points: f32) -> Self {
        Self { size: points * POINT, bold: false, white: false, centred: false }
    }

    const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    const fn centred(self) -> Self {
        Self { centred: true, ..self }
    }

    const fn white(self) -> Self {
        Self { white: true, ..self }
    }
}

/// A page, laid out.
#[derive(Clone, Debug)]
pub struct Scene {
    pub(super) items: Vec<Item>,
    pub(super) fonts: Fonts,
    pub(super) title: String,
    pub(super) language: String,
}

impl Scene {
    /// Lays out a flier.
    ///
    /// # Errors
    /// If the words are too many for the page, or the fonts lack a character of theirs.
    pub fn new(flier: Flier<'_>, words: &Words, fonts: &Fonts) -> Result<Self> {
        let (line, last) = match flier {
            Flier::Card(card) => (line::write(Kind::Card, card.as_bytes())?, card.validity().last),
            Flier::Share(share, _, last) => (line::write(Kind::Share, &share.encode())?, last),
        };
        let matrix = Matrix::new(&line)?;
        let until = words.until.replace("{date}", &words.day(last));
        let (lead, steps, strip) = match flier {
            Flier::Card(_) => (words.lead.clone(), words.steps.clone(), words.strip.clone()),
            Flier::Share(share, of, _) => {
                let (needed, of) = (share.threshold().to_string(), of.to_string());
                let fill = |text: &String| text.replace("{needed}", &needed).replace("{shares}", &of);
                let words = &words.share;
                (fill(&words.lead), words.steps.iter().map(fill).collect(), fill(&words.strip))
            }
        };
        let faces = (fonts.face(false)?, fonts.face(true)?);
        let code = Code { matrix: &matrix, scan: &words.scan, until: &until };
        // Long words and long lines take their room from the large code.
        let mut page = Err(Error::Drawing(String::new()));
        for side in SIDES {
            page = Page::new(&faces.0, &faces.1).body(side, words, &lead, &steps, &code, &line);
            if page.is_ok() {
                break;
            }
        }
        let mut page = page?;
        page.strips(&matrix, &words.title, &strip, &until)?;

        let items = page.items;
        Ok(Self { items, fonts: fonts.clone(), title: words.title.clone(), language: words.language.clone() })
    }
}

/// The large code and what stands below it.
struct Code<'a> {
    matrix: &'a Matrix,
    scan: &'a str,
    until: &'a str,
}

struct Page<'a> {
    regular: &'a Face<'a>,
    bold: &'a Face<'a>,
    items: Vec<Item>,
}

impl<'a> Page<'a> {
    fn new(regular: &'a Face<'a>, bold: &'a Face<'a>) -> Self {
        Self { regular, bold, items: Vec::new() }
    }

    /// All that stands above the strips.
    fn body(
        mut self,
        side: f32,
        words: &Words,
        lead: &str,
        steps: &[String],
        code: &Code<'_>,
        line: &str,
    ) -> Result<Self> {
        let y = self.head(&words.title, lead)?;
        let below = self.middle(y, side, code, steps)?;
        self.foot(below, &words.typed, line, &words.care)?;
        Ok(self)
    }

    fn text(&mut self, x: f32, y: f32, text: &str, style: Style) {
        self.items.push(Item::Text { x, y, text: text.to_owned(), style });
    }

    fn width(&self, text: &str, style: Style) -> Result<f32> {
        let face = if style.bold { self.bold } else { self.regular };
        Ok(width(face, text)? * style.size)
    }

    /// Breaks a text into lines at its blanks.
    fn lines(&self, text: &str, style: Style, room: f32) -> Result<Vec<String>> {
        let mut lines: Vec<String> = Vec::new();
        // No-break spaces hold together what they stand between.
        for word in text.split([' ', '\n']).filter(|word| !word.is_empty()) {
            let longer = lines.last().map(|last| format!("{last} {word}"));
            match longer {
                Some(longer) if self.width(&longer, style)? <= room => {
                    lines.pop();
                    lines.push(longer);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        Ok(lines)
    }

    /// A paragraph whose first baseline is at `y`; gives where the next baseline would be.
    fn paragraph(&mut self, x: f32, mut y: f32, room: f32, text: &str, style: Style) -> Result<f32> {
        for line in self.lines(text, style, room)? {
            self.text(x, y, &line, style);
            y += style.size * 1.36;
        }
        Ok(y)
    }

    /// The largest of these sizes in which a text fits a line; the last one if none does.
    fn fitting(&self, text: &str, sizes: &[f32], room: f32) -> Result<Style> {
        let mut style = Style::points(12.0).bold();
        for size in sizes {
            style = Style::points(*size).bold();
            if self.width(text, style)? <= room {
                break;
            }
        }
        Ok(style)
    }

    /// Title and lead; gives where they end.
    fn head(&mut self, title: &str, lead: &str) -> Result<f32> {
        let room = RIGHT - MARGIN;
        let style = self.fitting(title, &[48.0, 44.0, 40.0, 36.0, 32.0, 28.0, 24.0], room)?;
        // Capitals reach up about seven tenths of the size.
        let y = MARGIN + 0.72 * style.size;
        self.text(MARGIN, y, title, style);
        let rule = y + 0.38 * style.size;
        self.items.push(Item::Rect { x: MARGIN, y: rule, width: room, height: 0.9 });
        let below = self.paragraph(MARGIN, rule + 9.5, room, lead, Style::points(14.0))?;
        Ok(below + 0.5)
    }

    /// The code at the left, the steps at its right; gives where they end.
    fn middle(&mut self, y: f32, side: f32, code: &Code<'_>, steps: &[String]) -> Result<f32> {
        self.items.push(Item::Code { x: MARGIN, y, side, matrix: code.matrix.clone() });
        let caption = Style::points(13.0).bold();
        let below = self.paragraph(MARGIN, y + side + 6.5, side, code.scan, caption)?;
        let below = self.paragraph(MARGIN, below + 0.3, side, code.until, Style::points(13.0))?;

        const BOX: f32 = 9.0;
        let left = MARGIN + side + 9.0;
        let text = left + BOX + 4.5;
        let style = Style::points(15.0);
        let number = Style::points(15.0).bold().centred().white();
        let mut at = y;
        for (step, words) in steps.iter().enumerate() {
            self.items.push(Item::Rect { x: left, y: at, width: BOX, height: BOX });
            let middle = at + BOX / 2.0 + 0.36 * number.size;
            self.text(left + BOX / 2.0, middle, &(step + 1).to_string(), number);
            let end = self.paragraph(text, at + BOX / 2.0 + 0.36 * style.size, RIGHT - text, words, style)?;
            at = (end - 0.2).max(at + BOX + 6.0);
        }
        Ok(below.max(at))
    }

    /// The line for those who type, and the warning, just above the strips.
    fn foot(&mut self, above: f32, typed: &str, line: &str, care: &str) -> Result<()> {
        let room = RIGHT - MARGIN;
        let (label, small) = (Style::points(9.5).bold(), Style::points(9.5));
        let characters = Style::points(10.5);
        let groups: Vec<&str> = line::groups(line).collect();
        // As many columns as there is room for, with a clear gap between the groups.
        let mut widest = 0.0_f32;
        for group in &groups {
            widest = widest.max(self.width(group, characters)?);
        }
        let columns = (room / (widest + characters.size)).floor().max(1.0);
        let rows: Vec<&[&str]> = groups.chunks(columns as usize).collect();
        let column = room / columns;
        let row = characters.size * 1.42;

        let typed = self.lines(typed, label, room)?;
        let care = self.lines(care, small, room)?;
        let height = |lines: usize, style: Style| lines as f32 * style.size * 1.36;
        let whole = height(typed.len(), label) + rows.len() as f32 * row + 3.5 + height(care.len(), small);
        let top = CUT - 4.0 - whole + label.size;
        if top - label.size < above {
            return Err(Error::Drawing(
                "the words are too many for the page; make the lead or the steps shorter".to_owned(),
            ));
        }
        let mut y = top;
        for line in &typed {
            self.text(MARGIN, y, line, label);
            y += label.size * 1.36;
        }
        y += 1.6;
        for groups in &rows {
            for (at, group) in groups.iter().enumerate() {
                self.text(MARGIN + at as f32 * column, y, group, characters);
            }
            y += row;
        }
        y += 1.9;
        for line in &care {
            self.text(MARGIN, y, line, small);
            y += small.size * 1.36;
        }
        Ok(())
    }

    /// The strips to tear off.
    fn strips(&mut self, matrix: &Matrix, title: &str, words: &str, until: &str) -> Result<()> {
        const SIDE: f32 = 29.0;
        // The quiet zone is free of text and of the lines to cut along.
        let quiet = SIDE / matrix.side() as f32 * QUIET as f32;
        let room = STRIP - 3.0;
        let head = self.fitting(title, &[10.5, 10.0, 9.5, 9.0, 8.5, 8.0, 7.5, 7.0], room)?.centred();
        let small = Style::points(8.5).centred();
        self.items.push(Item::Cut { from: (0.0, CUT), to: (PAGE.0, CUT) });
        for strip in 0..STRIPS {
            let left = f32::from(strip) * STRIP;
            if strip > 0 {
                self.items.push(Item::Cut { from: (left, CUT), to: (left, PAGE.1) });
            }
            let middle = left + STRIP / 2.0;
            let top = CUT + quiet.max((STRIP - SIDE) / 2.0);
            self.items.push(Item::Code {
                x: middle - SIDE / 2.0,
                y: top,
                side: SIDE,
                matrix: matrix.clone(),
            });
            let mut y = top + SIDE + quiet + 2.8;
            for (text, style) in [(title, head), (words, small), (until, small)] {
                y = self.paragraph(middle, y, room, text, style)? + 0.7;
            }
            // Printers leave a margin of some millimetres white.
            if y - small.size > PAGE.1 - 5.0 {
                return Err(Error::Drawing(
                    "the words are too many for the strips; make `strip` shorter".to_owned(),
                ));
            }
        }
        Ok(())
    }
}
