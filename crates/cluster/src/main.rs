//! A PostgreSQL for the moment: prints the address of an empty database on it, and takes it away
//! when its input ends, or itself does.

use std::io;

use tongjang_cluster::Cluster;

fn main() -> io::Result<()> {
    let database = Cluster::shared().database();
    println!("{}", database.url());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
