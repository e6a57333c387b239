//! Expressions over a record's fields. Input: the expression.

use std::sync::LazyLock;

use daylight_inspect::{FlowRecord, columns_of};

use crate::engine;

/// Records of some flows, for expressions to be asked about.
static RECORDS: LazyLock<Vec<FlowRecord>> = LazyLock::new(|| engine::records(engine::SAMPLE));

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(tree) = daylight_expr::parse(&text) {
        let written = tree.to_string();
        match daylight_expr::parse(&written) {
            Ok(again) => assert_eq!(again, tree, "{written}"),
            Err(error) => {
                // Written out it can be longer than an expression may be, and parentheses are all written.
                assert!(written.len() > daylight_expr::INPUT_LEN_MAX || written.len() > text.len(), "{}", error.report());
            }
        }
    }
    let program = match daylight_inspect::compile(&text) {
        Ok(program) => program,
        Err(error) => {
            let span = error.span();
            assert!(span.start <= span.end && span.end <= text.len(), "{span:?} of {}", text.len());
            assert!(!error.report().is_empty());
            return;
        }
    };
    let _ = program.to_string();
    assert!(columns_of(&program).count() <= program.fields().len());
    for warning in program.warnings() {
        assert!(!warning.report(&text).is_empty());
    }
    let negated = format!("not ({text})");
    match daylight_inspect::compile(&negated) {
        Ok(negated) => {
            for record in RECORDS.iter() {
                assert_ne!(program.matches(record), negated.matches(record), "{text}");
            }
        }
        // It is longer, and deeper.
        Err(error) => assert!(
            text.len() + 6 > daylight_expr::INPUT_LEN_MAX || error.report().contains("deep"),
            "{}",
            error.report()
        ),
    }
}
