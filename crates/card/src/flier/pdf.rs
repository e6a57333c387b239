//! A flier in PDF, with its fonts in it. It says nothing of when or where it was made.

use krilla::Document;
use krilla::color::luma;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla::paint::{Fill, Stroke, StrokeDash};
use krilla::surface::Surface;
use krilla::text::{Font, TextDirection};

use super::font::width;
use super::layout::{Item, PAGE, POINT, Scene};
use crate::error::{Error, Result};

const BLACK: u8 = 0;
const GREY: u8 = 0x77;
const WHITE: u8 = 0xff;

impl Scene {
    /// The page in PDF.
    ///
    /// # Errors
    /// If the fonts can't be put into it.
    pub fn to_pdf(&self) -> Result<Vec<u8>> {
        to_pdf(std::slice::from_ref(self))
    }
}

/// Several pages in one PDF.
///
/// # Errors
/// If the fonts can't be put into it.
pub fn to_pdf(scenes: &[Scene]) -> Result<Vec<u8>> {
    let failed = |why: &str| Error::Drawing(format!("the PDF can't be made: {why}"));
    let mut document = Document::new();
    if let Some(first) = scenes.first() {
        let metadata = Metadata::new().title(first.title.clone()).language(first.language.clone());
        document.set_metadata(metadata);
    }
    for scene in scenes {
        let font =
            |bytes: &[u8]| Font::new(bytes.to_vec().into(), 0).ok_or_else(|| failed("a font can't be read"));
        let fonts = (font(&scene.fonts.regular)?, font(&scene.fonts.bold)?);
        let (width, height) = (points(PAGE.0), points(PAGE.1));
        let settings = PageSettings::from_wh(width, height).ok_or_else(|| failed("the page has no size"))?;
        let mut page = document.start_page_with(settings);
        let mut surface = page.surface();
        for item in &scene.items {
            draw(&mut surface, scene, &fonts, item)?;
        }
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|why| failed(&format!("{why:?}")))
}

fn points(millimetres: f32) -> f32 {
    millimetres / POINT
}

fn fill(shade: u8) -> Option<Fill> {
    Some(Fill { paint: luma::Color::new(shade).into(), ..Fill::default() })
}

fn draw(surface: &mut Surface<'_>, scene: &Scene, fonts: &(Font, Font), item: &Item) -> Result<()> {
    surface.set_stroke(None);
    surface.set_fill(fill(BLACK));
    match item {
        Item::Rect { x, y, width, height } => {
            let mut path = PathBuilder::new();
            let rect = Rect::from_xywh(points(*x), points(*y), points(*width), points(*height));
            rect.into_iter().for_each(|rect| path.push_rect(rect));
            path.finish().iter().for_each(|path| surface.draw_path(path));
        }
        Item::Cut { from, to } => {
            surface.set_fill(None);
            surface.set_stroke(Some(Stroke {
                paint: luma::Color::new(GREY).into(),
                width: points(0.25),
                dash: Some(StrokeDash { array: vec![points(1.6), points(1.6)], offset: 0.0 }),
                ..Stroke::default()
            }));
            let mut path = PathBuilder::new();
            path.move_to(points(from.0), points(from.1));
            path.line_to(points(to.0), points(to.1));
            path.finish().iter().for_each(|path| surface.draw_path(path));
        }
        Item::Text { x, y, text, style } => {
            if style.white {
                surface.set_fill(fill(WHITE));
            }
            let font = if style.bold { &fonts.1 } else { &fonts.0 };
            let half = width(&scene.fonts.face(style.bold)?, text)? * style.size / 2.0;
            let x = if style.centred { x - half } else { *x };
            let at = Point::from_xy(points(x), points(*y));
            surface.draw_text(at, font.clone(), points(style.size), text, false, TextDirection::Auto);
        }
        Item::Code { x, y, side, matrix } => {
            let module = side / matrix.side() as f32;
            let mut path = PathBuilder::new();
            for (column, row, len) in matrix.runs() {
                let (left, top) = (x + column as f32 * module, y + row as f32 * module);
                let rect =
                    Rect::from_xywh(points(left), points(top), points(len as f32 * module), points(module));
                rect.into_iter().for_each(|rect| path.push_rect(rect));
            }
            path.finish().iter().for_each(|path| surface.draw_path(path));
        }
    }
    Ok(())
}
