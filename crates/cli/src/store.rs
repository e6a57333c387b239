//! `daylight store`, and how records get into a store.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use daylight_store::Networks;
use daylight_store::folder::{Privacy, Pseudonymity, StoreOptions};

use crate::args::StoreKept;

/// How records are kept in this folder.
pub(crate) fn options(folder: &Path, kept: &StoreKept) -> Result<StoreOptions> {
    let mut options = StoreOptions::new(folder);
    options.sensor.clone_from(&kept.sensor);
    if kept.keep_addresses {
        options.privacy = Privacy::KeepAddresses;
    } else if let Privacy::Pseudonyms(how) = options.privacy {
        let more = Networks::new(kept.clients.iter().map(|text| text.trim()))?;
        options.privacy = Privacy::Pseudonyms(Pseudonymity {
            key_file: kept.key_file.clone().unwrap_or(how.key_file),
            rotate_every: Duration::from_secs(u64::from(kept.rotate_key) * 86_400),
            networks: how.networks.and(more),
        });
    }
    Ok(options)
}
