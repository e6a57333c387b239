//! A flier in SVG. The fonts are the viewer's: whoever prints it here and there uses the PDF.

use std::fmt::Write as _;

use super::layout::{Item, PAGE, Scene, Style};

/// Fonts that are much like the one that lines were broken for.
const FAMILY: &str = "'Open Sans','Noto Sans','DejaVu Sans',Arial,sans-serif";

impl Scene {
    /// The page in SVG.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let mut body = String::new();
        for item in &self.items {
            draw(&mut body, item);
        }
        let ((width, height), title) = (PAGE, escape(&self.title));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}mm\" height=\"{height}mm\" \
             viewBox=\"0 0 {width} {height}\" xml:lang=\"{}\" font-family=\"{FAMILY}\">\n<title>{title}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n{body}</svg>\n",
            escape(&self.language)
        )
    }
}

fn draw(out: &mut String, item: &Item) {
    // Writing into a string doesn't fail.
    let _ = match item {
        Item::Rect { x, y, width, height } => {
            writeln!(out, "<rect x=\"{x:.3}\" y=\"{y:.3}\" width=\"{width:.3}\" height=\"{height:.3}\"/>")
        }
        Item::Cut { from, to } => writeln!(
            out,
            "<path d=\"M{:.3} {:.3}L{:.3} {:.3}\" stroke=\"#777\" stroke-width=\".25\" stroke-dasharray=\"1.6 1.6\"/>",
            from.0, from.1, to.0, to.1
        ),
        Item::Text { x, y, text, style: Style { size, bold, white, centred } } => writeln!(
            out,
            "<text x=\"{x:.3}\" y=\"{y:.3}\" font-size=\"{size:.3}\"{}{}{}>{}</text>",
            if *bold { " font-weight=\"bold\"" } else { "" },
            if *white { " fill=\"#fff\"" } else { "" },
            if *centred { " text-anchor=\"middle\"" } else { "" },
            escape(text)
        ),
        Item::Code { x, y, side, matrix } => writeln!(
            out,
            "<path shape-rendering=\"crispEdges\" transform=\"translate({x:.3} {y:.3}) scale({:.5})\" d=\"{}\"/>",
            side / matrix.side() as f32,
            matrix.svg_path()
        ),
    };
}

/// Text for XML and HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
