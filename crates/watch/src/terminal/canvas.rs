//! Text at a place. All that is drawn goes through here, and is made harmless on the way.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::theme::Theme;
use crate::text::{fit, width};

/// A part of the screen that is drawn on.
pub(crate) struct Canvas<'a> {
    pub(crate) buffer: &'a mut Buffer,
    pub(crate) area: Rect,
    pub(crate) theme: Theme,
}

impl Canvas<'_> {
    pub(crate) fn width(&self) -> usize {
        self.area.width.into()
    }

    pub(crate) fn height(&self) -> usize {
        self.area.height.into()
    }

    /// Writes a text from a column of a row on, as far as there is room, and says at which column it ends.
    pub(crate) fn put(&mut self, x: usize, y: usize, text: &str, style: Style) -> usize {
        let room = self.width().saturating_sub(x);
        if y >= self.height() || room == 0 {
            return x;
        }
        let text = fit(text, room);
        // The area is within the screen, whose sides are u16.
        let (column, row) = (self.area.x + x as u16, self.area.y + y as u16);
        self.buffer.set_stringn(column, row, &text, room, style);
        let end = x + width(&text);
        self.cover(column, row, (self.area.x as usize + end) as u16);
        end
    }

    /// Marks the columns that wide characters cover. Left blank they would look unchanged to whoever compares two screens when
    /// the next one has blanks there, and what a terminal still shows there would stay.
    fn cover(&mut self, from: u16, row: u16, to: u16) {
        let mut covered = 0;
        for column in from..to {
            let Some(cell) = self.buffer.cell_mut((column, row)) else { return };
            if covered > 0 {
                cell.set_symbol("");
                covered -= 1;
            } else {
                covered = width(cell.symbol()).saturating_sub(1);
            }
        }
    }

    /// Writes a text so that it ends at the right edge.
    pub(crate) fn put_right(&mut self, y: usize, text: &str, style: Style) {
        let text = fit(text, self.width());
        self.put(self.width() - width(&text), y, &text, style);
    }

    /// Writes parts one after the other.
    pub(crate) fn put_all(&mut self, x: usize, y: usize, parts: &[(&str, Style)]) -> usize {
        parts.iter().fold(x, |x, (text, style)| self.put(x, y, text, *style))
    }

    /// Gives a whole row a style over what it has.
    pub(crate) fn restyle(&mut self, y: usize, style: Style) {
        if y < self.height() {
            let row = Rect { y: self.area.y + y as u16, height: 1, ..self.area };
            self.buffer.set_style(row, style);
        }
    }

    /// A part of it.
    pub(crate) fn part(&mut self, x: usize, y: usize, width: usize, height: usize) -> Canvas<'_> {
        let (x, y) = (x.min(self.width()), y.min(self.height()));
        let area = Rect {
            x: self.area.x + x as u16,
            y: self.area.y + y as u16,
            width: width.min(self.width() - x) as u16,
            height: height.min(self.height() - y) as u16,
        };
        Canvas { buffer: self.buffer, area, theme: self.theme }
    }
}
