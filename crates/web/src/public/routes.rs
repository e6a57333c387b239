//! From a request to its answer.

use daylight_policy::audit::{Finding, Label, Log, Standing, Timestamp};
use hyper::StatusCode;
use hyper::header::ACCEPT;
use hyper::http::request::Parts;
use maud::Markup;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::document::{
    EntryDoc, LineDoc, LogDoc, LogPageDoc, OverviewDoc, RuleDoc, RulePageDoc, UnansweredDoc, proof_path,
};
use super::follow::View;
use super::subject::{AskedHost, Subject};
use super::tiles::TileName;
use super::{Site, ask, follow, html};
use crate::server::{self, Answer, Cache};

/// Where the evidence of a split view is.
pub(super) const EVIDENCE: &str = "/split-view";

/// In which form an answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Html,
    Json,
}

impl server::Site for Site {
    fn answer(&self, request: &Parts) -> Answer {
        let Some(path) = segments(request.uri.path()) else { return self.failure(StatusCode::BAD_REQUEST) };
        let mut path: Vec<&str> = path.iter().map(String::as_str).collect();
        let (mut form, now) = (accepted(request), follow::now());
        // A rule's own name may end like this.
        let is_name =
            matches!(path.as_slice(), ["rule", policy, rule] if self.finding(policy, rule, now).is_some());
        let bare = path.last().and_then(|last| last.strip_suffix(".json")).filter(|_| !is_name);
        if let (Some(bare), Some(last)) = (bare, path.last_mut()) {
            (*last, form) = (bare, Form::Json);
        }
        match path.as_slice() {
            [""] | ["index"] => self.overview(form, now, html::home::page),
            ["rules"] => self.overview(form, now, html::rules::page),
            ["is-blocked"] => self.is_blocked(form, now, request.uri.query()),
            ["rule", policy, rule] => self.rule(form, now, policy, rule),
            ["log"] => self.log(form, now),
            ["log", "checkpoint"] => self.checkpoint(),
            ["log", "tile", rest @ ..] => self.tile(rest),
            ["proof", entry] => self.proof(form, now, entry),
            ["status"] => self.status(now),
            ["split-view"] => self.evidence(now),
            ["style.css"] => fixed("text/css; charset=utf-8", html::STYLE.as_bytes()),
            ["icon.svg"] => fixed("image/svg+xml", html::ICON.as_bytes()),
            ["robots.txt"] => fixed("text/plain; charset=utf-8", b"User-agent: *\nDisallow: /is-blocked\n"),
            _ => self.missing(form, now, "There is no such page here."),
        }
    }

    fn failure(&self, status: StatusCode) -> Answer {
        let message = match status {
            StatusCode::METHOD_NOT_ALLOWED => "This page only answers questions (GET, HEAD).\n",
            _ => "The address of the page can't be read.\n",
        };
        Answer { status, ..text(message.to_owned(), Cache::Never) }
    }
}

impl Site {
    fn log_doc(&self, view: &View, now: Timestamp) -> LogDoc {
        LogDoc::of(view, &self.settings.key, self.settings.stale_after, now)
    }

    fn overview(&self, form: Form, now: Timestamp, page: fn(&OverviewDoc) -> Markup) -> Answer {
        let doc = overview(self, &self.shared.read(), now);
        self.document(form, status(&doc.log), Cache::Briefly, &doc, || page(&doc))
    }

    fn is_blocked(&self, form: Form, now: Timestamp, query: Option<&str>) -> Answer {
        let query = query.unwrap_or_default().as_bytes();
        let input = url::form_urlencoded::parse(query).find(|(name, _)| name == "host").map(|(_, host)| host);
        let input = input.unwrap_or_default();
        match Subject::read(&input) {
            Subject::Host(asked) => self.answer_about(form, now, asked),
            Subject::Empty => self.unanswered(form, now, &input, "empty", "Give the name of a site, such as example.org."),
            Subject::Address => self.unanswered(
                form,
                now,
                &input,
                "address",
                "The public log holds no addresses, so that nobody can be found by it. Ask for the site's name instead.",
            ),
            Subject::Unclear(why) => {
                self.unanswered(form, now, &input, "unclear", &format!("This can't be looked up: {why}."))
            }
        }
    }

    fn answer_about(&self, form: Form, now: Timestamp, asked: AskedHost) -> Answer {
        let mut answer = {
            let view = self.shared.read();
            if view.seen.is_none() {
                drop(view);
                let why =
                    "The public log can't be read at the moment, so nothing can be said about any site.";
                return self.unanswered(form, now, asked.host.as_str(), "no-log", why);
            }
            ask::answer(self, &view, asked, now)
        };
        ask::prove(self, &mut answer);
        let overview = Overview::of(self);
        self.document(form, StatusCode::OK, Cache::Never, &answer, || {
            html::answer::page(&overview.0, &answer)
        })
    }

    fn unanswered(
        &self,
        form: Form,
        now: Timestamp,
        input: &str,
        error: &'static str,
        message: &str,
    ) -> Answer {
        let log = self.log_doc(&self.shared.read(), now);
        let status = match error {
            "no-log" => StatusCode::SERVICE_UNAVAILABLE,
            _ if form == Form::Json => StatusCode::BAD_REQUEST,
            // For people this is a page like others.
            _ => StatusCode::OK,
        };
        let doc = UnansweredDoc { error, message: message.to_owned(), log };
        let overview = Overview::of(self);
        self.document(form, status, Cache::Never, &doc, || html::answer::unanswered(&overview.0, &doc, input))
    }

    fn finding(&self, policy: &str, rule: &str, now: Timestamp) -> Option<Finding> {
        let (policy, rule) = Label::new(policy).ok().zip(Label::new(rule).ok())?;
        self.shared.read().history.rule(&policy, &rule, now)
    }

    fn rule(&self, form: Form, now: Timestamp, policy: &str, rule: &str) -> Answer {
        let found = self.finding(policy, rule, now).map(|finding| {
            let view = self.shared.read();
            RulePageDoc {
                rule: RuleDoc::of(&finding, &view, now),
                lines: LineDoc::of_rule(&view, &finding.rule.policy, &finding.rule.rule),
                log: self.log_doc(&view, now),
            }
        });
        let Some(doc) = found else {
            return self.missing(form, now, "The public log never told of a rule with this name.");
        };
        let overview = Overview::of(self);
        self.document(form, status(&doc.log), Cache::Briefly, &doc, || html::rules::rule(&overview.0, &doc))
    }

    fn log(&self, form: Form, now: Timestamp) -> Answer {
        let doc = {
            let view = self.shared.read();
            let latest = view.board.latest.iter().rev();
            LogPageDoc {
                log: self.log_doc(&view, now),
                checkpoint: view.seen.as_ref().map(|seen| seen.checkpoint.to_string()),
                latest: latest
                    .map(|(index, entry)| EntryDoc {
                        index: *index,
                        proof: proof_path(*index),
                        entry: entry.clone(),
                    })
                    .collect(),
            }
        };
        let overview = Overview::of(self);
        self.document(form, status(&doc.log), Cache::Briefly, &doc, || html::log::page(&overview.0, &doc))
    }

    /// The checkpoint up to which the log was verified, which may be a moment older than that on the disk.
    fn checkpoint(&self) -> Answer {
        let checkpoint = self.shared.read().seen.as_ref().map(|seen| seen.checkpoint.to_string());
        checkpoint.map_or_else(
            || Answer {
                status: StatusCode::SERVICE_UNAVAILABLE,
                ..text("no checkpoint\n".to_owned(), Cache::Never)
            },
            |checkpoint| text(checkpoint, Cache::Briefly),
        )
    }

    fn tile(&self, segments: &[&str]) -> Answer {
        let size = self.shared.read().seen.as_ref().map_or(0, |seen| seen.checkpoint.checkpoint().size);
        let name = TileName::parse(segments).filter(|name| name.is_covered(size));
        match name.map(|name| name.read(&self.settings.log)) {
            Some(Ok(body)) => Answer {
                status: StatusCode::OK,
                content_type: "application/octet-stream",
                cache: Cache::Always,
                shared: true,
                body,
            },
            Some(Err(_)) => Answer {
                status: StatusCode::SERVICE_UNAVAILABLE,
                ..text("the log covers this file, and it can't be read\n".to_owned(), Cache::Never)
            },
            None => Answer {
                status: StatusCode::NOT_FOUND,
                ..text("not a file that the checkpoint covers\n".to_owned(), Cache::Never)
            },
        }
    }

    fn proof(&self, form: Form, now: Timestamp, entry: &str) -> Answer {
        let number = entry.parse::<u64>().ok().filter(|number| number.to_string() == entry);
        let Some(number) = number else {
            return self.missing(form, now, "Entries of the log have numbers, from 0.");
        };
        let proven =
            Log::open(&self.settings.log, &self.settings.key).and_then(|log| log.prove_inclusion(number));
        match proven {
            Ok(proof) if form == Form::Json => {
                let entry: serde_json::Value = serde_json::from_slice(proof.entry()).unwrap_or_default();
                let doc = serde_json::json!({ "index": number, "entry": entry, "proof": proof.to_string() });
                json(StatusCode::OK, Cache::Briefly, &doc)
            }
            Ok(proof) => text(proof.to_string(), Cache::Briefly),
            Err(daylight_policy::audit::AuditError::OutOfRange { size, .. }) => {
                self.missing(form, now, &format!("The log has {size} entries so far, numbered from 0."))
            }
            Err(error) => Answer {
                status: StatusCode::SERVICE_UNAVAILABLE,
                ..text(
                    format!("There is no proof: {}\n", self.without_path(&error.to_string())),
                    Cache::Never,
                )
            },
        }
    }

    /// For those who watch over the page: 503 if the log is not sound.
    fn status(&self, now: Timestamp) -> Answer {
        let log = self.log_doc(&self.shared.read(), now);
        let status = if log.is_sound() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json(status, Cache::Never, &log)
    }

    fn evidence(&self, now: Timestamp) -> Answer {
        let evidence = {
            let view = self.shared.read();
            let troubles = [&view.trouble, &view.damage];
            troubles.into_iter().flatten().find_map(|trouble| trouble.evidence.clone())
        };
        match evidence {
            Some(evidence) => Answer { content_type: JSON, ..text(evidence, Cache::Never) },
            None => self.missing(
                Form::Html,
                now,
                "No two signed histories of this log are known to contradict each other.",
            ),
        }
    }

    fn missing(&self, form: Form, now: Timestamp, message: &str) -> Answer {
        let log = self.log_doc(&self.shared.read(), now);
        let doc = UnansweredDoc { error: "not-found", message: message.to_owned(), log };
        let overview = Overview::of(self);
        self.document(form, StatusCode::NOT_FOUND, Cache::Never, &doc, || {
            html::answer::missing(&overview.0, &doc)
        })
    }

    fn document<D: Serialize>(
        &self,
        form: Form,
        status: StatusCode,
        cache: Cache,
        doc: &D,
        page: impl FnOnce() -> Markup,
    ) -> Answer {
        match form {
            Form::Json => json(status, cache, doc),
            Form::Html => Answer {
                status,
                content_type: "text/html; charset=utf-8",
                cache,
                shared: false,
                body: page().into_string().into_bytes(),
            },
        }
    }
}

/// Who runs the page, for its head and foot.
struct Overview(html::Frame);

impl Overview {
    fn of(site: &Site) -> Self {
        Self(html::Frame { operator: site.settings.operator.clone(), contact: site.settings.contact.clone() })
    }
}

fn overview(site: &Site, view: &View, now: Timestamp) -> OverviewDoc {
    let place = |rule: &RuleDoc| {
        let policy = view.board.policy.as_ref().filter(|policy| policy.policy == rule.policy);
        policy
            .and_then(|policy| policy.rules.iter().position(|name| *name == rule.rule))
            .unwrap_or(usize::MAX)
    };
    let mut rules: Vec<RuleDoc> =
        view.history.rules(now).map(|finding| RuleDoc::of(&finding, view, now)).collect();
    rules.sort_by_cached_key(|rule| {
        let order = match rule.standing {
            Standing::InForce | Standing::Halted { .. } => 0,
            Standing::Expired => 1,
            Standing::Withdrawn { .. } => 2,
        };
        (order, place(rule), rule.rule.clone())
    });
    OverviewDoc {
        operator: site.settings.operator.clone(),
        contact: site.settings.contact.clone(),
        now,
        filter: view.board.running.clone(),
        policy: view.board.policy.clone(),
        refused: view.board.refused.clone(),
        rules,
        log: site.log_doc(view, now),
    }
}

/// 503 only as long as there is nothing to show.
fn status(log: &LogDoc) -> StatusCode {
    if log.root.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

const JSON: &str = "application/json";

fn json<D: Serialize>(status: StatusCode, cache: Cache, doc: &D) -> Answer {
    match serde_json::to_vec_pretty(doc) {
        Ok(mut body) => {
            body.push(b'\n');
            Answer { status, content_type: JSON, cache, shared: true, body }
        }
        Err(error) => Answer {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..text(format!("the document can't be written: {error}\n"), Cache::Never)
        },
    }
}

fn text(body: String, cache: Cache) -> Answer {
    Answer {
        status: StatusCode::OK,
        content_type: "text/plain; charset=utf-8",
        cache,
        shared: true,
        body: body.into_bytes(),
    }
}

fn fixed(content_type: &'static str, body: &[u8]) -> Answer {
    Answer { status: StatusCode::OK, content_type, cache: Cache::Briefly, shared: false, body: body.to_vec() }
}

/// The segments of a path after its first slash, decoded; none if one is not UTF-8.
fn segments(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix('/')?;
    path.split('/').map(|segment| percent_decode_str(segment).decode_utf8().ok().map(Into::into)).collect()
}

/// The form that the client would rather have (RFC 9110 §12.5.1); HTML if it does not care.
fn accepted(request: &Parts) -> Form {
    let fields = request.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut html, mut json, mut any) = (0.0_f32, 0.0_f32, 0.0_f32);
    for item in fields.flat_map(|field| field.split(',')) {
        let mut parts = item.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality =
            parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        match kind.as_str() {
            "application/json" => json = quality,
            "text/html" | "application/xhtml+xml" => html = f32::max(html, quality),
            "*/*" | "text/*" => any = quality,
            _ => {}
        }
    }
    // Who names JSON and not HTML takes JSON, unless anything else is liked better.
    let is_json = if html > 0.0 { json > html } else { json > 0.0 && json >= any };
    if is_json { Form::Json } else { Form::Html }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    #[test]
    fn the_form_is_the_one_asked_for() {
        for (accept, form) in [
            (None, Form::Html),
            (Some("*/*"), Form::Html),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Form::Html),
            (Some("application/json"), Form::Json),
            (Some("application/json, text/plain, */*"), Form::Json),
            (Some("application/json;q=0.2, */*"), Form::Html),
            (Some("application/json, */*;q=0.1"), Form::Json),
            (Some("text/html;q=0.5, Application/JSON;q=0.9"), Form::Json),
            (Some("application/json;q=0"), Form::Html),
            (Some(";;q=,"), Form::Html),
        ] {
            let mut request = Request::builder();
            if let Some(accept) = accept {
                request = request.header(ACCEPT, accept);
            }
            assert_eq!(accepted(&request.body(()).unwrap().into_parts().0), form, "{accept:?}");
        }
    }

    #[test]
    fn paths_are_decoded_after_they_are_split() {
        assert_eq!(segments("/"), Some(vec![String::new()]));
        assert_eq!(segments("/rule/a%2Fb/x%20y"), Some(vec!["rule".into(), "a/b".into(), "x y".into()]));
        assert_eq!(segments("/%FF"), None);
        assert_eq!(segments("*"), None);
    }
}
