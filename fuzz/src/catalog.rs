//! Catalog files. Input: the file.

use std::sync::Mutex;

use daylight_inspect::catalog::Catalog;

const NAME: &str = "fuzz.toml";
/// A catalog stays in memory until the program ends: so many are kept, the rest are only checked.
const KEPT_MAX: usize = 100;
static KEPT: Mutex<Vec<Catalog>> = Mutex::new(Vec::new());

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let builtin = Catalog::builtin();
    let checked = builtin.check_file(&text, NAME);
    if let Err(error) = &checked {
        let message = error.to_string();
        assert!(message.starts_with(NAME), "{message}");
        return;
    }
    let Ok(mut kept) = KEPT.lock() else { return };
    if kept.len() >= KEPT_MAX {
        return;
    }
    let catalog = match builtin.with_file(&text, NAME) {
        Ok(catalog) => catalog,
        Err(error) => panic!("checked, but not loaded: {error}"),
    };
    kept.push(catalog);
    assert!(catalog.apps().len() >= builtin.apps().len(), "a file adds and takes none away");
    for app in catalog.apps() {
        let found = catalog.by_name(app.name).map(|id| catalog.app(id).name);
        assert_eq!(found, Some(app.name));
        assert!(catalog.categories().iter().any(|c| c.name == app.category), "{}", app.category);
    }
    // Whatever is asked, what is answered is an application of this catalog.
    for word in text.split(['"', '\'', ' ', '\n']) {
        let answers = [catalog.by_host(word), catalog.by_alpn(word), catalog.by_name(word)];
        for id in answers.into_iter().flatten() {
            assert!(!catalog.app(id).name.is_empty(), "{word}");
        }
        let (upper, dotted) = (word.to_ascii_uppercase(), format!("{word}."));
        if !word.ends_with('.') {
            assert_eq!(catalog.by_host(&upper), catalog.by_host(word), "case makes no difference");
            assert_eq!(catalog.by_host(&dotted), catalog.by_host(word), "a dot at the end makes no difference");
        }
    }
}
