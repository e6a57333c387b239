//! Lists of indicators. Input: the list.

use daylight_inspect::indicators::Indicators;

const NAME: &str = "fuzz.txt";

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut indicators = Indicators::default();
    let report = match indicators.load(&text, NAME) {
        Ok(report) => report,
        Err(error) => {
            assert!(error.to_string().starts_with(NAME), "{error}");
            assert!(indicators.is_empty(), "what can't be read adds nothing");
            return;
        }
    };
    assert_eq!(report.loaded(), report.names + report.addresses + report.fingerprints + report.certificates);
    assert!(indicators.len() <= report.loaded());
    assert_eq!(indicators.is_empty(), report.loaded() == 0);
    // Every problem that is shown, and three notes.
    assert!(report.problems.len() <= 14, "{:?}", report.problems);
    assert!(report.problems.iter().all(|problem| problem.starts_with(NAME)), "{:?}", report.problems);
    let before = indicators.len();
    let again = indicators.load(&text, NAME);
    assert_eq!(again.ok(), Some(report), "the same list reads the same again");
    assert_eq!(indicators.len(), before, "and adds nothing");
}
