//! The way in.

use hyper::header;
use hyper::{Response, StatusCode};
use maud::html;

use super::{Context, layout};
use crate::app::{App, Visit};
use crate::request::Asked;
use crate::response::{self, Body};

/// Why somebody isn't let in.
pub(crate) enum Failed {
    /// The file of passwords can't be read.
    File,
    /// So many seconds must pass.
    Wait(u64),
    /// There is no such user with that password; which of the two is not said.
    Wrong,
}

/// The form, and what was wrong with it the last time.
pub(crate) fn page(app: &App, asked: &Asked, visit: &Visit, failed: Option<Failed>) -> Response<Body> {
    let context = Context { app, asked, visit, locale: asked.locale };
    let (status, message) = match &failed {
        None => (StatusCode::OK, None),
        Some(Failed::File) => (StatusCode::SERVICE_UNAVAILABLE, Some(context.t("login-file").to_owned())),
        Some(Failed::Wrong) => (StatusCode::UNAUTHORIZED, Some(context.t("login-wrong").to_owned())),
        Some(Failed::Wait(seconds)) => {
            let message = context.locale.with("login-wait", &[("seconds", &seconds.to_string())]);
            (StatusCode::TOO_MANY_REQUESTS, Some(message))
        }
    };
    let title = context.t("login");
    let body = html! {
        form.card.login method="post" action="/login" {
            @if let Some(message) = &message { p.wrong role="alert" { (message) } }
            input type="hidden" name="token" value=(visit.token);
            input type="hidden" name="next" value=(asked.get("next").unwrap_or("/"));
            label { (context.t("login-user")) input name="user" autocomplete="username" required maxlength="64" autofocus; }
            label { (context.t("login-password")) input name="password" type="password" autocomplete="current-password" required maxlength="1024"; }
            button.primary type="submit" { (title) }
        }
    };
    let mut response = super::page(status, context, &layout::Page::plain(title), &body);
    if let Some(Failed::Wait(seconds)) = failed {
        response::set(&mut response, header::RETRY_AFTER, &seconds.to_string());
    }
    response
}

/// A form that was not sent from a page of ours, or from one that is too old.
pub(crate) fn forged(app: &App, asked: &Asked, visit: &Visit) -> Response<Body> {
    let context = Context { app, asked, visit, locale: asked.locale };
    let body = html! {
        div.card.trouble role="alert" { p { (context.t("forged-text")) } p { a.button href="/" { (context.t("page-overview")) } } }
    };
    super::page(StatusCode::FORBIDDEN, context, &layout::Page::plain(context.t("forged-title")), &body)
}
