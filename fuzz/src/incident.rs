//! Series of others, and bundles that strangers made.

use daylight_incident::bundle::{Limits, verify};
use daylight_incident::detect::Parameters;
use daylight_incident::series::outage::{changes, ioda_outages};
use daylight_incident::series::read;

/// A file of series: whatever is read is in order, has a place if it is wrong, and can be looked through.
pub(crate) fn series(data: &[u8]) {
    match read("input.csv", data) {
        Ok(all) => {
            for one in &all {
                assert!(one.points.is_sorted_by(|a, b| a.0 < b.0));
                assert!(one.step_s > 0);
                for outage in ioda_outages(one) {
                    assert!(outage.until > outage.from);
                }
            }
            let small: Vec<_> = all.into_iter().filter(|one| one.points.len() < 500).take(8).collect();
            for change in changes(&small, i64::MAX / 4, &Parameters::default()) {
                assert!(change.onset.best <= change.onset.latest);
                assert!(change.onset.earliest.is_none_or(|earliest| earliest <= change.onset.latest));
            }
        }
        Err(error) => assert!(error.line > 0 && error.column > 0),
    }
}

/// A bundle: nothing outside its limits is read, and what differs is said.
pub(crate) fn bundle(data: &[u8]) {
    let limits = Limits { bytes_max: 4 << 20 };
    if let Ok(verified) = verify(data, &[], limits) {
        assert!(verified.bytes <= limits.bytes_max);
        for difference in &verified.differences {
            assert!(!difference.to_string().is_empty());
        }
    }
}
