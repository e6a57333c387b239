//! What is around every page.

use maud::{DOCTYPE, Markup, html};

use super::{Context, address};
use crate::assets;
use crate::locale;
use crate::range::{PRESETS, rfc3339};
use crate::report::Scope;
use crate::request::Theme;
use crate::text::visible;

/// The menu: the message, the page, and its key.
const MENU: [(&str, &str, &str); 14] = [
    ("now", "/now", "n"),
    ("overview", "/overview", "o"),
    ("applications", "/applications", "a"),
    ("hosts", "/hosts", "h"),
    ("clients", "/clients", "c"),
    ("talkers", "/talkers", "t"),
    ("protocols", "/protocols", "p"),
    ("risks", "/risks", "r"),
    ("findings", "/findings", "e"),
    ("flows", "/flows", "f"),
    ("dns", "/dns", "d"),
    ("fingerprints", "/fingerprints", "i"),
    ("networks", "/networks", "w"),
    ("query", "/query", "q"),
];

/// A page's frame.
pub(crate) struct Page<'a> {
    /// The heading.
    pub(crate) title: &'a str,
    /// What stands over the heading.
    pub(crate) over: Option<&'a str>,
    /// Which page of the menu it is.
    pub(crate) current: &'a str,
    /// The part of the records it is about, if it is about a time.
    pub(crate) scope: Option<&'a Scope>,
    /// Where the same page is with another time.
    pub(crate) path: &'a str,
    /// The script that it needs besides the common one.
    pub(crate) script: Option<&'a str>,
    /// Loaded anew after so many seconds where there are no scripts.
    pub(crate) refresh_s: Option<u32>,
}

impl<'a> Page<'a> {
    /// That is about no time.
    pub(crate) fn plain(title: &'a str) -> Self {
        Self { title, over: None, current: "", scope: None, path: "", script: None, refresh_s: None }
    }

    /// That is about a part of the records.
    pub(crate) fn of(title: &'a str, path: &'a str, scope: &'a Scope) -> Self {
        Self { current: path.trim_start_matches('/'), scope: Some(scope), path, ..Self::plain(title) }
    }
}

pub(super) fn layout(context: Context<'_>, page: &Page<'_>, body: &Markup) -> Markup {
    let (t, asked) = (|key: &'static str| context.t(key), context.asked);
    let theme = asked.theme.name();
    let is_in = context.app.options.passwords.is_none() || context.visit.user.is_some();
    let site = context.app.options.title.as_deref().map(visible);
    html! {
        (DOCTYPE)
        html lang=(context.locale.code) data-theme=(theme) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content={ @match asked.theme { Theme::Auto => "light dark", other => (other.name()) } };
                title { (page.title) " · Daylight" }
                link rel="icon" href=(assets::address("icon.svg")) type="image/svg+xml";
                link rel="manifest" href=(assets::address("manifest.json"));
                link rel="stylesheet" href=(assets::address("style.css"));
                @if let Some(seconds) = page.refresh_s {
                    noscript { meta http-equiv="refresh" content=(seconds); }
                }
                script type="module" src=(assets::address("app.js")) {}
                @if let Some(script) = page.script {
                    script type="module" src=(assets::address(script)) {}
                }
            }
            body {
                a.skip href="#main" { (t("skip")) }
                header.top {
                    a.brand href="/" {
                        img src=(assets::address("icon.svg")) width="24" height="24" alt="";
                        span { "Daylight" }
                    }
                    @if let Some(site) = &site { span.site { bdi { (site) } } }
                    @if is_in {
                        details.menu-button { summary { (t("menu")) } (menu(context, page)) }
                    }
                    div.spacer {}
                    (settings(context))
                }
                div.columns {
                    @if is_in {
                        nav.side aria-label=(t("menu")) { (menu(context, page)) }
                    }
                    main id="main" tabindex="-1" {
                        div.heading {
                            div.title {
                                @if let Some(over) = page.over { p.over { (over) } }
                                h1 { bdi { (page.title) } }
                            }
                            @if let Some(scope) = page.scope { (times(context, page, scope)) }
                        }
                        @if let Some(scope) = page.scope { (chips(context, page, scope)) }
                        (body)
                    }
                }
                (help(context))
            }
        }
    }
}

fn menu(context: Context<'_>, page: &Page<'_>) -> Markup {
    // Another page shows the same time.
    let bare =
        page.scope.map(|scope| Scope { range: scope.range, filters: Default::default(), search: None });
    html! {
        ul.menu {
            @for (name, path, key) in MENU {
                @let href = bare.as_ref().map_or_else(|| path.to_owned(), |bare| address(path, bare, &[]));
                li class={ "m-" (name) } {
                    a href=(href) aria-current=[(page.current == name).then_some("page")] data-key=(key) {
                        (context.t(menu_key(name)))
                    }
                }
            }
        }
    }
}

/// The message that a page of the menu goes by.
pub(super) fn menu_key(name: &str) -> &'static str {
    match name {
        "now" => "page-now",
        "overview" => "page-overview",
        "applications" => "page-applications",
        "hosts" => "page-hosts",
        "clients" => "page-clients",
        "talkers" => "page-talkers",
        "protocols" => "page-protocols",
        "risks" => "page-risks",
        "findings" => "page-findings",
        "flows" => "page-flows",
        "dns" => "page-dns",
        "fingerprints" => "page-fingerprints",
        "networks" => "page-networks",
        "servers" => "page-servers",
        _ => "page-query",
    }
}

/// Which time, as links; two fixed ends, as a form.
fn times(context: Context<'_>, page: &Page<'_>, scope: &Scope) -> Markup {
    let t = |key: &'static str| context.t(key);
    let range = scope.range;
    let ends = [rfc3339(range.since_ns), rfc3339(range.until_ns)]
        .map(|end| end.chars().take(16).collect::<String>());
    html! {
        nav.times aria-label=(t("times")) {
            ul {
                @for (name, _) in PRESETS {
                    @let moved = Scope { range: crate::range::Range::of(Some(name), None, None, context.asked.now_ns), ..scope.clone() };
                    li { a href=(address(page.path, &moved, &[])) aria-current=[(range.preset == Some(name)).then_some("true")] {
                        (preset(context, name))
                    } }
                }
            }
            details.ends {
                summary class=[range.preset.is_none().then_some("current")] {
                    @if range.preset.is_some() { (t("times-own")) }
                    @else { (context.locale.time(range.since_ns)) " – " (context.locale.time(range.until_ns)) }
                }
                form method="get" action=(page.path) {
                    @for (subject, value) in &scope.filters { input type="hidden" name=(subject.name()) value=(value); }
                    label { (t("times-from")) " (UTC)" input type="datetime-local" name="from" value=(ends[0]) required; }
                    label { (t("times-to")) " (UTC)" input type="datetime-local" name="to" value=(ends[1]) required; }
                    button type="submit" { (t("apply")) }
                }
            }
        }
    }
}

fn preset(context: Context<'_>, name: &str) -> String {
    let at = name.len().saturating_sub(1);
    let (number, unit) = name.split_at_checked(at).unwrap_or((name, ""));
    let unit = match unit {
        "m" => "unit-min",
        "h" => "unit-h",
        _ => "unit-d",
    };
    format!("{number}\u{a0}{}", context.t(unit))
}

/// What the page is narrowed to, each with a way out.
fn chips(context: Context<'_>, page: &Page<'_>, scope: &Scope) -> Markup {
    let shown =
        scope.filters.iter().filter(|(subject, _)| page.path.trim_start_matches('/') != subject.name());
    let shown: Vec<_> = shown.collect();
    html! {
        @if !shown.is_empty() {
            ul.chips aria-label=(context.t("filters")) {
                @for (subject, value) in shown {
                    @let mut wider = scope.clone();
                    @let _ = wider.filters.remove(subject);
                    li {
                        span.chip-name { (context.locale.get(&format!("subject-{}", subject.name()))) }
                        bdi { (crate::text::cell(value)) }
                        a.remove href=(address(page.path, &wider, &[])) aria-label={ (context.t("filter-remove")) " " (visible(value)) } { "×" }
                    }
                }
            }
        }
    }
}

/// Language, colours, the way out.
fn settings(context: Context<'_>) -> Markup {
    let t = |key: &'static str| context.t(key);
    let asked = context.asked;
    html! {
        details.settings {
            summary { (t("settings")) }
            div.panel {
                form method="post" action="/settings" {
                    input type="hidden" name="token" value=(context.visit.token);
                    input type="hidden" name="back" value=(asked.address);
                    label { (t("language"))
                        select name="language" {
                            @for one in locale::all() {
                                option value=(one.code) lang=(one.code) selected[one.code == context.locale.code] { (one.title) }
                            }
                        }
                    }
                    label { (t("theme"))
                        select name="theme" {
                            @for one in Theme::ALL {
                                option value=(one.name()) selected[one == asked.theme] { (context.locale.get(&format!("theme-{}", one.name()))) }
                            }
                        }
                    }
                    button type="submit" { (t("apply")) }
                }
                button.plain type="button" data-help hidden { (t("keys")) }
                a.plain href="/api/v1/openapi.json" { (t("interface")) }
                @if let Some(user) = &context.visit.user {
                    form method="post" action="/logout" {
                        input type="hidden" name="token" value=(context.visit.token);
                        button type="submit" { (t("logout")) " (" bdi { (user) } ")" }
                    }
                }
            }
        }
    }
}

/// The keys.
fn help(context: Context<'_>) -> Markup {
    let t = |key: &'static str| context.t(key);
    html! {
        dialog.help id="help" aria-labelledby="help-title" {
            h2 id="help-title" { (t("keys")) }
            dl {
                dt { kbd { "?" } } dd { (t("keys-help")) }
                dt { kbd { "/" } } dd { (t("keys-search")) }
                dt { kbd { "[" } " " kbd { "]" } } dd { (t("keys-range")) }
                dt { kbd { "." } } dd { (t("keys-theme")) }
                @for (name, _, key) in MENU { dt { kbd { "g" } " " kbd { (key) } } dd { (t(menu_key(name))) } }
            }
            form method="dialog" { button type="submit" { (t("close")) } }
        }
    }
}
