//! Address of a scheduler.

use std::fmt;
use std::str::FromStr;

/// `HOST:PORT`; the host is a name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let split = text.rsplit_once(':');
        let (host, port) = split.ok_or("expected HOST:PORT, such as 10.0.0.1:50050")?;
        let port = port.parse().map_err(|_| format!("expected a port from 0 to 65535, found '{port}'"))?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
