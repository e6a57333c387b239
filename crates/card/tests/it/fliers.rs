//! Fliers are rendered by programs that are not ours, and read as a telephone would.

use std::path::Path;

use daylight_card::flier::{Flier, Fonts, Scene, Words, to_pdf};
use daylight_card::seal::seal;
use daylight_card::{Cards, Kind, List, Validity, line};

use crate::scanning::{pixels, scan};
use crate::{card, run, today, world};

/// The codes of a page, one after the other as people hold a telephone over them: the large one, and those of the strips.
fn codes(path: &Path) -> Vec<String> {
    let (width, height, grey) = pixels(&std::fs::read(path).unwrap());
    let cut = height * 230 / 297;
    let mut texts = scan(width, cut, |x, y| grey[y * width + x]);
    for strip in 0..6 {
        let left = strip * width / 6;
        texts.extend(scan(width / 6, height - cut, |x, y| grey[(cut + y) * width + left + x]));
    }
    texts
}

#[test]
fn fliers_in_all_languages_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let card = card(1);
    let expected = vec![line::write(Kind::Card, card.as_bytes()).unwrap(); 7];
    for language in Words::languages() {
        let words = Words::built_in(language).unwrap();
        let scene = Scene::new(Flier::Card(&card), &words, &Fonts::default()).unwrap();
        let at = |ending: &str| folder.path().join(format!("{language}.{ending}"));
        std::fs::write(at("pdf"), scene.to_pdf().unwrap()).unwrap();
        std::fs::write(at("svg"), scene.to_svg()).unwrap();
        let (pdf, svg) = (format!("{language}.pdf"), format!("{language}.svg"));
        let name = format!("{language}-pdf");
        let args = ["-r", "200", "-gray", "-png", "-singlefile", &pdf, &name];
        if run("pdftoppm", &args, folder.path()).is_some() {
            assert_eq!(codes(&folder.path().join(format!("{language}-pdf.png"))), expected, "{language} pdf");
        }
        let name = format!("{language}-svg.png");
        if run("rsvg-convert", &["-d", "200", "-p", "200", "-o", &name, &svg], folder.path()).is_some() {
            assert_eq!(codes(&folder.path().join(name)), expected, "{language} svg");
        }
        // Its text can be searched and copied.
        if let Some(output) = run("pdftotext", &["-layout", &pdf, "-"], folder.path()) {
            let plain = |text: &str| text.replace('\u{a0}', " ");
            let text = plain(&String::from_utf8_lossy(&output.stdout));
            let until = plain(&words.day(card.validity().last));
            assert!(text.contains(&words.title) && text.contains(&until), "{text}");
            assert!(line::groups(&expected[0]).all(|group| text.contains(group)), "{text}");
        }
    }
}

#[test]
fn a_flier_for_each_share() {
    let world = world();
    let body = Cards { cards: vec![card(1)], ..Cards::default() };
    let list = List::sign(&body, Validity::new(today(), 30), &world.issuer).unwrap();
    let (sealed, shares) = seal(&list, 2, 3, Validity::new(today(), 30), &world.issuer).unwrap();
    for language in Words::languages() {
        let words = Words::built_in(language).unwrap();
        let scene = |share| {
            let flier = Flier::Share(share, shares.len(), sealed.validity().last);
            Scene::new(flier, &words, &Fonts::default()).unwrap()
        };
        let scenes: Vec<Scene> = shares.iter().map(scene).collect();
        assert!(scenes.iter().all(|scene| !scene.to_svg().contains('{')));
        assert!(to_pdf(&scenes).unwrap().starts_with(b"%PDF"));
    }
}

#[test]
fn what_is_wrong_with_words_is_told() {
    let english = include_str!("../../../../data/fliers/en.toml");
    let error = |text: &str| {
        let words = Words::parse(text, "xx.toml");
        let drawn = words.and_then(|words| Scene::new(Flier::Card(&card(1)), &words, &Fonts::default()));
        drawn.unwrap_err().to_string()
    };
    assert!(error(&english.replace("scan = ", "scann = ")).starts_with("xx.toml: "));
    assert!(error(&english.replace("\"January\", ", "")).contains("months are 11"));
    let foreign = error(&english.replace("An open internet", "开放的互联网"));
    assert!(foreign.contains("the font has no '开'"), "{foreign}");
    let long = english.replace("Start it", &"Start it and start it again ".repeat(40));
    assert!(error(&long).contains("too many for the page"));
    assert!(Words::built_in("tlh").unwrap_err().to_string().contains("there are en, be, ru"));
}
