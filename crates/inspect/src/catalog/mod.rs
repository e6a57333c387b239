//! Applications and services by their host names, ALPN identifiers and addresses.
//!
//! The knowledge is data: `data/catalog/*.toml`, compiled into the program by the build script; `--catalog FILE` adds
//! and overrides. See `docs/guide/catalog.md` for the format.
//!
//! A name stands for itself and all names below it; of several that match, the longest has the say. Nothing here
//! allocates, and a host name is read once, from its end.

pub(crate) mod host;
mod parse;
pub(crate) mod prefix;
mod tables;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use parse::CatalogError;
use parse::Context;
pub use tables::{App, Category};
use tables::{Built, Draft, Slot, Tables};

/// The tables of the built-in catalog, written by the build script.
mod builtin {
    use super::tables::{App, Category, Tables};

    include!(concat!(env!("OUT_DIR"), "/catalog.rs"));
}

/// An application of a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AppId(u16);

/// What applications there are, and how they are known. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Catalog {
    tables: &'static Tables,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Catalog {
    /// The catalog that comes with the program. Costs nothing.
    pub fn builtin() -> Self {
        Self { tables: &builtin::TABLES }
    }

    /// This catalog with a file added. `name` is the file's, for errors. What the file gives to an application, the
    /// application that had it loses. The memory is kept until the program ends.
    ///
    /// # Errors
    /// With every place where the file can't be understood, and what to do about it.
    pub fn with_file(&self, text: &str, name: &str) -> Result<Self, CatalogError> {
        let built = self.build_with(text, name)?;
        Ok(Self { tables: Box::leak(Box::new(built.leak(self.tables.categories))) })
    }

    /// Whether [`with_file`](Self::with_file) can load a file. Keeps nothing.
    ///
    /// # Errors
    /// As `with_file`.
    pub fn check_file(&self, text: &str, name: &str) -> Result<(), CatalogError> {
        self.build_with(text, name).map(|_| ())
    }

    fn build_with(&self, text: &str, name: &str) -> Result<Built, CatalogError> {
        let categories: Vec<_> = self.tables.categories.iter().map(|c| c.name).collect();
        let context = Context {
            categories: &categories,
            is_known: &|name| self.by_name(name).is_some(),
            nearest: |name, among| daylight_expr::nearest(name, among.iter().copied()).map(str::to_owned),
            is_public_suffix,
        };
        let file = parse::parse(text, name, &context)?;
        let mut draft = Draft::from_tables(self.tables);
        draft.add(file);
        let built = draft.build();
        if built.apps.len() >= usize::from(prefix::NONE) {
            let problem = format!(
                "{name}: too many applications, {} with the others: {} is the most",
                built.apps.len(),
                prefix::NONE - 1
            );
            return Err(CatalogError { problems: vec![problem] });
        }
        Ok(built)
    }

    /// The application that has this host name, or the longest of the names above it. Case and a dot at the end make no
    /// difference.
    pub fn by_host(&self, host: &str) -> Option<AppId> {
        let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
        let (mut hash, mut found) = (0, prefix::NONE);
        let suffix = |slot: Option<Slot>, before: u16| match slot {
            Some(slot) if slot.suffix != prefix::NONE => slot.suffix,
            _ => before,
        };
        let mut whole = true;
        for (at, &byte) in host.iter().enumerate().rev() {
            let below = host.get(at + 1..).unwrap_or_default();
            if byte == b'.' {
                found = suffix(self.tables.slot(hash, below), found);
            }
            if below.len() >= self.tables.longest {
                whole = false;
                break;
            }
            hash = tables::step(hash, byte);
        }
        if whole {
            let slot = self.tables.slot(hash, host);
            found = match slot {
                Some(slot) if slot.exact != prefix::NONE => slot.exact,
                _ => suffix(slot, found),
            };
        }
        (found != prefix::NONE).then_some(AppId(found))
    }

    /// The application whose own ALPN identifier this is.
    pub fn by_alpn(&self, alpn: &str) -> Option<AppId> {
        let place = self.tables.alpn.binary_search_by(|(id, _)| (*id).cmp(alpn)).ok()?;
        self.tables.alpn.get(place).map(|(_, app)| AppId(*app))
    }

    /// The application to whose operator this address belongs. Weaker than a name: see `confidence`.
    pub fn by_address(&self, address: IpAddr) -> Option<AppId> {
        prefix::find(self.tables.addresses, prefix::number(address)).map(AppId)
    }

    /// The application of this name.
    pub fn by_name(&self, name: &str) -> Option<AppId> {
        let place = self.tables.apps.binary_search_by(|app| app.name.cmp(name)).ok()?;
        u16::try_from(place).ok().map(AppId)
    }

    /// An application. `id` must be of this catalog; that of another one gives some application or an empty one.
    pub fn app(&self, id: AppId) -> &'static App {
        const NONE: App = App { name: "", title: "", category: "" };
        self.tables.apps.get(usize::from(id.0)).unwrap_or(&NONE)
    }

    /// All applications, by name.
    pub fn apps(&self) -> impl ExactSizeIterator<Item = &'static App> + use<> {
        self.tables.apps.iter()
    }

    /// The categories, by name. They are the same in every catalog.
    pub fn categories(&self) -> &'static [Category] {
        self.tables.categories
    }
}

/// Whether names directly below this one belong to different owners, by the public suffix list (both its parts).
pub(crate) fn is_public_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix == name)
}

/// The part of a host name that its owner registered, by the public suffix list: `example.co.uk` of
/// `www.example.co.uk`. None of names that are public suffixes themselves, and of addresses.
pub fn registrable_domain(host: &str) -> Option<&str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.parse::<IpAddr>().is_ok() {
        return None;
    }
    // The list is in small letters; only the length is taken from it.
    let mut lower = [0; 253];
    let lower = lower.get_mut(..host.len())?;
    lower.copy_from_slice(host.as_bytes());
    lower.make_ascii_lowercase();
    let length = psl::domain(lower)?.as_bytes().len();
    host.get(host.len() - length..)
}
