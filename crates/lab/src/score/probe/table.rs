//! A score as a table, within 80 columns.

use std::fmt::Write;

use super::{CALLED_BLOCKED_CEILING, CaseScore, MECHANISM_FLOOR, PLACE_FLOOR, ProbeScore, Run, Said, Share};

/// Columns of the cases' names.
const NAME_WIDTH: usize = 32;
/// Columns there are.
const WIDTH: usize = 80;

/// The whole score.
pub fn render(score: &ProbeScore) -> String {
    let (look_alikes, mechanisms): (Vec<_>, Vec<_>) =
        score.cases.iter().partition(|case| case.is_look_alike());
    let mut text = format!("seed {}, loss to {} %\n", score.seed, score.loss_percent_max);
    if !mechanisms.is_empty() {
        let _ =
            writeln!(text, "\n{:<NAME_WIDTH$} {:>4}  {:>9}  {:>9}", "mechanism", "runs", "right", "place");
        for case in &mechanisms {
            let place = case.place();
            let place = if place.of > 0 { share(place) } else { "–".to_owned() };
            let _ = writeln!(
                text,
                "{:<NAME_WIDTH$} {:>4}  {:>9}  {place:>9}",
                case.name,
                case.runs.len(),
                share(case.mechanism())
            );
        }
    }
    if !look_alikes.is_empty() {
        let _ = writeln!(text, "\n{:<NAME_WIDTH$} {:>4}  {:>9}", "look-alike", "runs", "spared");
        for case in &look_alikes {
            let _ = writeln!(
                text,
                "{:<NAME_WIDTH$} {:>4}  {:>9}",
                case.name,
                case.runs.len(),
                share(case.mechanism())
            );
        }
    }
    misses(&mut text, &score.cases);
    text.push('\n');
    total(&mut text, "mechanism right", score.mechanisms(), MECHANISM_FLOOR);
    total(&mut text, "place right", score.places(), PLACE_FLOOR);
    total(&mut text, "look-alikes not called blocked", score.look_alikes(), 1.0 - CALLED_BLOCKED_CEILING);
    text
}

fn share(share: Share) -> String {
    format!("{}/{}", share.right, share.of)
}

fn total(text: &mut String, what: &str, found: Share, floor: f64) {
    if found.of == 0 {
        return;
    }
    let percent = 100.0 * found.right as f64 / found.of as f64;
    let holds = if found.reaches(floor) { "met" } else { "NOT met" };
    let _ = writeln!(
        text,
        "{what:<NAME_WIDTH$} {:>9}  {percent:5.1} %  floor {:.0} %: {holds}",
        share(found),
        floor * 100.0
    );
}

fn misses(text: &mut String, cases: &[CaseScore]) {
    let is_miss = |run: &&Run| !run.mechanism_right || run.place_right == Some(false);
    let mut heading = "\nmisses\n";
    for case in cases {
        for run in case.runs.iter().filter(is_miss) {
            text.push_str(std::mem::take(&mut heading));
            let said = match (&run.said, &run.problem) {
                (Some(said), _) => verdict(said),
                (None, problem) => problem.clone().unwrap_or_default(),
            };
            let truth = case.truth.as_deref().unwrap_or("no blocking");
            wrap(
                text,
                &format!(
                    "{} {}: {truth}, at {}, loss {} %; said: {said}; {}",
                    case.name,
                    run.number,
                    run.at,
                    run.loss_percent,
                    run.measurement.display()
                ),
            );
        }
    }
}

/// A verdict in a few words.
fn verdict(said: &Said) -> String {
    let mut words = said.state.clone();
    if let Some(mechanism) = &said.mechanism {
        let _ = write!(words, " {mechanism}");
    }
    if let Some(witness) = &said.witness {
        let _ = write!(words, " by {}", witness.rule);
    }
    if let Some(place) = &said.place {
        let _ = write!(words, ", hop {} {}", place.hop, place.position);
    }
    words
}

/// Breaks lines between words; a word that is longer than a line stands alone.
fn wrap(text: &mut String, paragraph: &str) {
    let mut width = 0;
    for word in paragraph.split_whitespace() {
        let length = word.chars().count();
        if width == 0 {
            text.push_str("  ");
            width = 2;
        } else if width + 1 + length > WIDTH {
            text.push_str("\n    ");
            width = 4;
        } else {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::run::{Place, Witness};
    use super::*;

    fn run(right: bool, place: Option<bool>) -> Run {
        Run {
            number: 3,
            seed: 1,
            loss_percent: 1.2,
            at: "uplink".into(),
            said: Some(Said {
                state: "likely-blocked".into(),
                mechanism: Some("tls.reset".into()),
                place: Some(Place { hop: 3, of_hops: Some(4), position: "in-path".into() }),
                witness: Some(Witness { rule: "tls-reset".into() }),
            }),
            mechanism_right: right,
            place_right: place,
            measurement: "probe-score/tls-reset-in-path-3.jsonl".into(),
            problem: None,
        }
    }

    #[test]
    fn a_miss_says_what_was_said_instead_and_lines_fit() {
        let case = |name: &str, truth: Option<&str>, runs| CaseScore {
            name: name.into(),
            about: String::new(),
            truth: truth.map(str::to_owned),
            runs,
        };
        let score = ProbeScore {
            seed: 7,
            loss_percent_max: 2.0,
            cases: vec![
                case(
                    "tls-reset-in-path",
                    Some("tls.reset.sni"),
                    vec![run(true, Some(true)), run(false, Some(false))],
                ),
                case("slow-server", None, vec![run(true, None)]),
            ],
        };
        let text = render(&score);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("tls-reset-in-path                   2        1/2        1/2"), "{text}");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("said: likely-blocked tls.reset by tls-reset, hop 3 in-path;"), "{text}");
        assert!(text.contains("NOT met") && text.contains("100.0 %  floor 99 %: met"), "{text}");
        assert!(!score.holds());
    }
}
