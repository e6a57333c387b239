//! The pages. Each is made as a whole on the server; scripts add what moves.

mod flow;
mod layout;
pub(crate) mod login;
mod networks;
mod now;
mod query;
mod report;
mod subject;
mod table;

use std::sync::Arc;

use hyper::{Response, StatusCode};
use maud::{Markup, html};
use url::form_urlencoded::Serializer;

use crate::api;
use crate::app::{App, Visit};
use crate::ask::AskError;
use crate::locale::Locale;
use crate::report::{Scope, Subject};
use crate::request::Asked;
use crate::response::{self, Body};

use layout::Page;

/// What pages are made with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) app: &'a App,
    pub(crate) asked: &'a Asked,
    pub(crate) visit: &'a Visit,
    pub(crate) locale: &'static Locale,
}

impl Context<'_> {
    fn t(&self, key: &'static str) -> &'static str {
        self.locale.get(key)
    }
}

/// Answers for a page.
pub(crate) async fn answer(app: &Arc<App>, asked: &Asked, visit: &Visit, path: &[&str]) -> Response<Body> {
    let context = Context { app, asked, visit, locale: asked.locale };
    match path {
        [""] if app.live.is_some() => now::page(context).await,
        [""] => response::see_other("/overview"),
        ["now"] => now::page(context).await,
        ["overview"] => subject::page(context, None).await,
        ["networks"] => networks::page(context).await,
        ["query"] => query::page(context).await,
        ["flow"] => flow::page(context).await,
        [name] if let Some(report) = crate::report::report(name) => report::page(context, report).await,
        [name] if let Some(subject) = Subject::named(name) => subject::page(context, Some(subject)).await,
        _ => missing(context),
    }
}

/// There is no such page.
fn missing(context: Context<'_>) -> Response<Body> {
    let body =
        html! { div.card.empty { h2 { (context.t("missing-title")) } p { (context.t("missing-text")) } } };
    page(StatusCode::NOT_FOUND, context, &Page::plain(context.t("missing-title")), &body)
}

fn page(status: StatusCode, context: Context<'_>, page: &Page<'_>, body: &Markup) -> Response<Body> {
    response::answer(status, response::HTML, layout::layout(context, page, body).into_string())
}

/// An address with a part of the records in it.
fn address(path: &str, scope: &Scope, more: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    scope.range.write(&mut query);
    for (subject, value) in &scope.filters {
        query.append_pair(subject.name(), value);
    }
    for (name, value) in more.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The page about one thing, in the same time, without other filters.
fn about(subject: Subject, value: &str, scope: &Scope) -> String {
    let bare = Scope { range: scope.range, filters: [(subject, value.to_owned())].into(), search: None };
    address(&format!("/{}", subject.name()), &bare, &[])
}

/// In place of what can't be shown.
fn trouble(context: Context<'_>, failed: &AskError) -> Markup {
    let is_question = matches!(failed, AskError::Question(_));
    let title = if is_question { "trouble-question" } else { "trouble-title" };
    let (_, name) = api::kind(failed);
    let message = match failed {
        AskError::Slow(seconds) => context.locale.with("trouble-slow", &[("seconds", &seconds.to_string())]),
        AskError::Busy => context.t("trouble-busy").to_owned(),
        AskError::Store(_) if !context.app.has_store() => context.t("trouble-no-store").to_owned(),
        other => crate::text::visible(&other.to_string()),
    };
    html! {
        div.card.trouble role="alert" data-trouble=(name) {
            h2 { (context.t(title)) }
            p { (message) }
        }
    }
}

/// Nothing is there, and what to do about it.
fn nothing(context: Context<'_>) -> Markup {
    html! { div.empty { h2 { (context.t("empty-title")) } p { (context.t("empty-text")) } } }
}
