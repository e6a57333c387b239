//! stub
pub struct Indicators; impl Indicators { pub fn check(&self, _: &mut crate::FlowRecord) {} }
pub const RISKS: &[&daylight_protocols::Risk] = &[];
