//! Databases.

use crate::risks;

pub mod mongodb;
pub mod mysql;
pub mod postgresql;
pub mod redis;
mod sql;
pub mod tds;

risks! {
    WEAK_DATABASE_AUTH: Low Server "weak-database-auth" "The server authenticates with a method that its maker has given up: MySQL's old_password, PostgreSQL's md5 or crypt, MongoDB's MONGODB-CR. What crossed the network lets a listener guess the password fast. Harmless where the password is long and random.";
}
