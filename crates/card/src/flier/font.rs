//! The fonts of fliers, and how wide a text is in them.

use rustybuzz::{Face, UnicodeBuffer};

use crate::error::{Error, Result};

/// Open Sans (Apache License 2.0), cut down to the Latin and Cyrillic characters; see `data/fliers/fonts/README`.
const REGULAR: &[u8] = include_bytes!("../../../../data/fliers/fonts/OpenSans-Regular.ttf");
const BOLD: &[u8] = include_bytes!("../../../../data/fliers/fonts/OpenSans-Bold.ttf");

/// A regular and a bold font, in TrueType or OpenType.
#[derive(Clone, Debug)]
pub struct Fonts {
    pub(super) regular: Vec<u8>,
    pub(super) bold: Vec<u8>,
}

/// The fonts that come with the program: Latin and Cyrillic.
impl Default for Fonts {
    fn default() -> Self {
        Self { regular: REGULAR.to_vec(), bold: BOLD.to_vec() }
    }
}

impl Fonts {
    /// Other fonts, for scripts that the ones of the program don't have.
    ///
    /// # Errors
    /// If one is no font.
    pub fn new(regular: Vec<u8>, bold: Vec<u8>) -> Result<Self> {
        let fonts = Self { regular, bold };
        fonts.face(false)?;
        fonts.face(true)?;
        Ok(fonts)
    }

    pub(super) fn face(&self, bold: bool) -> Result<Face<'_>> {
        let (bytes, name) = if bold { (&self.bold, "bold") } else { (&self.regular, "regular") };
        Face::from_slice(bytes, 0).ok_or_else(|| Error::Drawing(format!("the {name} font can't be read")))
    }
}

/// How wide a text is, in ems.
///
/// # Errors
/// If the font lacks a character.
pub(super) fn width(face: &Face<'_>, text: &str) -> Result<f32> {
    let mut buffer = UnicodeBuffer::new();
    buffer.push_str(text);
    let glyphs = rustybuzz::shape(face, &[], buffer);
    if let Some(missing) = glyphs.glyph_infos().iter().find(|glyph| glyph.glyph_id == 0) {
        let missing = text.get(missing.cluster as usize..).and_then(|rest| rest.chars().next());
        let missing = missing.unwrap_or(char::REPLACEMENT_CHARACTER);
        return Err(Error::Drawing(format!(
            "the font has no {missing:?}; give one that has (--font, --bold-font)"
        )));
    }
    let units: i32 = glyphs.glyph_positions().iter().map(|position| position.x_advance).sum();
    Ok(units as f32 / face.units_per_em() as f32)
}
