//! The server through HTTP: each test starts one of its own, on a free port and an empty folder.

mod app;
mod edge;
mod identity;
mod keys;
mod pages;
