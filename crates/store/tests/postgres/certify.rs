//! What any engine has to do that is to keep a ledger, ours or one at an address that the
//! environment names: `docs/testing.md` has the command.

mod attacks;
mod distributed;
mod equal;
pub(crate) mod faults;
mod ledger;
mod scripts;
pub(crate) mod tellers;
mod verify;

use std::io::Write as _;

use tongjang_cluster::Cluster;

/// Says beside all else on which engine the others run.
#[test]
fn the_engine_is_what_it_is_said_to_be() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    let ask = |query: &str| cluster.query_text(&database, query).unwrap();
    let mut engine = ask("SELECT version()");
    if database.has_citus() {
        engine += &format!(
            "\n    {}, {} nodes",
            ask("SELECT citus_version()"),
            ask("SELECT count(*) FROM pg_dist_node WHERE isactive")
        );
    }
    let whose = if cluster.is_foreign() {
        "that TONGJANG_TEST_POSTGRES_URL names"
    } else {
        "of the tests' own, as TONGJANG_TEST_POSTGRES_URL is not set"
    };
    // Past the harness, which shows nothing of a test that passes.
    let said = format!("\n    on the server {whose}:\n    {engine}\n");
    std::io::stderr().write_all(said.as_bytes()).unwrap();
}
