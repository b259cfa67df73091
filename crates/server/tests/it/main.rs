//! The server through HTTP: each test starts one of its own, on a free port and an empty folder.

mod accounts;
mod app;
mod bank;
mod edge;
mod identity;
mod keys;
mod money;
mod pages;
