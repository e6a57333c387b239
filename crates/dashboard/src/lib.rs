//! What the network does and did, in a browser: pages, a JSON interface and live counts.
//!
//! A [`Dashboard`] shows what a [`Board`](daylight_watch::Board) counts now and what an SQL engine ([`Ask`]) knows of records that
//! are kept. A request takes this way: the connection (bounded, with TLS or without) → whose name is asked for, who asks, and
//! whether a form is ours ([`Options`] refuses what would let strangers in) → a page or the JSON interface → one of the
//! reports, which are the one description that tables, charts, CSV and the OpenAPI document are made from.
//!
//! Pages are made here and work without scripts; scripts add what moves. Everything is in the program: a page loads nothing from
//! elsewhere, and its policy forbids it. What comes from the network is escaped by the templates, and what would hide or turn
//! text round is made visible.
#![forbid(unsafe_code)]

mod api;
mod app;
mod ask;
mod assets;
mod auth;
mod chart;
mod csv;
mod data;
mod live;
mod locale;
mod networks;
mod openapi;
mod options;
mod pages;
mod range;
mod report;
mod request;
mod response;
mod serve;
mod text;

pub use app::Data;
pub use ask::{Answer, Ask, AskError, BoxFuture, Limits, Parameter, Question, Ready, ReadyParameter};
pub use auth::{PASSWORD_LEN_MIN, PasswordError, set_password};
pub use networks::{Networks, NetworksError};
pub use options::{Acme, Options, ServeError, Transport};
pub use serve::{Dashboard, serve};
