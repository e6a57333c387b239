//! Censors, one file each, with the paper or report that each models.
