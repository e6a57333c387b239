//! Reports: of everything and of nothing, safe whatever names say, and without anything from elsewhere.

use daylight_incident::report::{Written, html, markdown, write};
use daylight_incident::series::read;
use daylight_incident::study::{Source, Study};

use crate::support::{AUGUST_1, HOUR, Said, folder, study};

fn blocked(targets: usize, networks: u32) -> Vec<Said> {
    let mut all = Vec::new();
    for asn in 1..=networks {
        for target in 0..targets {
            for hour in 0..40 {
                let said = Said::ok(AUGUST_1 + hour * HOUR, &format!("t{target}.example"), asn, "p");
                all.push(if hour >= 20 && target % 3 == 0 { said.blocked("tls.reset.sni") } else { said });
            }
        }
    }
    all
}

#[test]
fn nothing_is_from_elsewhere_and_nothing_runs() {
    let page = html(&study(&blocked(6, 3), None), None);
    for bad in ["<script", "http://", "https://", "@import", "src=", "<link"] {
        assert!(!page.contains(bad), "{bad}");
    }
    assert!(page.contains("<svg") && page.contains("@page"));
}

#[test]
fn names_can_do_no_harm() {
    let mut all = blocked(3, 1);
    for said in &mut all {
        said.network = "<script>alert(1)</script> \"&\u{7}| `x`";
        said.target = format!("<b>{}", said.target);
    }
    let study = study(&all, None);
    let page = html(&study, Some("<i>title</i>"));
    assert!(!page.contains("<script>") && !page.contains("<i>title") && !page.contains("<b>t0"));
    let text = markdown(&study, None);
    assert!(!text.contains("<script>") && text.contains("\\<script\\>"));
}

#[test]
fn no_data_no_incident_and_series_alone_are_reports_too() {
    let empty = Study::new(Default::default(), Vec::new(), None, Default::default());
    assert!(html(&empty, None).contains("There are no verdicts here"));
    let quiet = study(
        &blocked(3, 1).into_iter().map(|s| Said { state: "ok", mechanism: None, ..s }).collect::<Vec<_>>(),
        None,
    );
    assert!(html(&quiet, None).contains("No incident was found. That is not the same as no interference"));
    let days: String =
        (1..=20).map(|day| format!("2020-08-{day:02},{}\n", if day < 9 { 1000 } else { 90 })).collect();
    let series = read("users.csv", format!("date,users\n{days}").as_bytes()).unwrap();
    let page = html(&Study::new(Default::default(), series, None, Default::default()), None);
    assert!(
        page.contains("what changed in the series of others is below") && page.contains("−91 %"),
        "{page}"
    );
}

#[test]
fn large_and_small_reports_are_drawn() {
    for (targets, networks) in [(1, 1), (200, 30)] {
        let mut all = blocked(targets, networks);
        // A fifth is enough to draw.
        all.retain(|said| said.at / HOUR % 10 == 5);
        let page = html(&study(&all, None), None);
        assert!(page.contains("aria-label=\"Targets by network\""));
        assert!(page.len() < 4 << 20, "{} bytes", page.len());
    }
}

#[test]
fn a_folder_becomes_a_report_with_its_tables() {
    let (folder, _) = folder(&blocked(3, 2));
    std::fs::write(folder.path().join("bad.csv"), "date,users\nnever,1\n").unwrap();
    let source = Source { folder: folder.path().to_owned(), ..Source::default() };
    let study = Study::of(&source).unwrap();
    assert_eq!(study.problems.len(), 1);
    assert_eq!(study.problems[0].to_string().split(' ').next(), Some("bad.csv:2:1:"));
    let out = tempfile::tempdir().unwrap();
    let files =
        write(&study, &out.path().join("new"), &Written { cells: true, ..Written::default() }).unwrap();
    assert_eq!(files.len(), 7);
    let table = std::fs::read_to_string(out.path().join("new/mechanisms.csv")).unwrap();
    assert_eq!(table.lines().count(), 3);
    assert!(
        table.contains("tls.reset.sni,blocked,20,1,2020-08-01T20:00:00Z,2020-08-02T15:00:00Z,"),
        "{table}"
    );
    let columns = |line: &str| line.split(',').count();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        if file.extension().is_some_and(|e| e == "csv") {
            let head = columns(text.lines().next().unwrap());
            assert!(text.lines().all(|line| columns(line) == head), "{}", file.display());
        }
    }
}

#[test]
fn an_empty_folder_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let error = Study::of(&Source { folder: folder.path().to_owned(), ..Source::default() }).unwrap_err();
    assert!(error.to_string().contains("put verdict records"), "{error}");
}
