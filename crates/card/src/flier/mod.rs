//! Fliers: a page of A4 with a card, a large code, what to do, and strips to tear off; in SVG and in PDF.
//!
//! `words` holds what is said, a file for each language. `layout` puts it on the page as a `Scene`, in which lines are
//! broken by the metrics of `font`. `svg` and `pdf` draw the scene.

mod font;
mod layout;
mod pdf;
mod svg;
mod words;

pub use font::Fonts;
pub use layout::{Flier, Scene};
pub use pdf::to_pdf;
pub use words::{Guide, Words};

pub(crate) use svg::escape;
