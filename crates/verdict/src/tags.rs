//! The tags that `web_connectivity` 0.5 puts on its observations.

/// Which redirect it belongs to: 0 is the first request.
pub(crate) fn depth(tags: &[String]) -> Option<i64> {
    tags.iter().rev().find_map(|tag| tag.strip_prefix("depth=")?.parse().ok())
}

/// Whether the connection was made to fetch the page, and not only to see whether it comes about.
pub(crate) fn fetches_body(tags: &[String]) -> Option<bool> {
    tags.iter().rev().find_map(|tag| tag.strip_prefix("fetch_body=").map(|value| value == "true"))
}
