//! The keys.

use super::canvas::Canvas;
use super::keys::KEYS;
use crate::text::left;

pub(crate) fn draw(canvas: &mut Canvas<'_>) {
    let theme = canvas.theme;
    canvas.put(1, 0, "Keys", theme.strong());
    for (i, line) in KEYS.iter().enumerate() {
        let x = canvas.put(1, i + 2, &left(line.keys, 25), theme.strong());
        canvas.put(x + 1, i + 2, line.does, theme.plain());
    }
    let signs = "Signs: !! severe, ! high, * medium, · low risk; ● a flow that goes on";
    canvas.put(1, KEYS.len() + 3, signs, theme.faint());
}
