//! The servers that some lines need: where they are, and whether they answer.

use std::env;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server, found as the tests find it: through its variable, else on its standard port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Postgres,
    Mariadb,
}

impl Service {
    /// The address of a database on it that is always there.
    pub fn url(self) -> String {
        env::var(self.variable()).unwrap_or_else(|_| self.usual().to_owned())
    }

    /// Why a line cannot be measured that needs it, if it cannot.
    pub fn missing(self) -> Option<String> {
        let port = match self {
            _ if env::var_os(self.variable()).is_some() => return None,
            Self::Postgres => 5432,
            Self::Mariadb => 3306,
        };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let variable = self.variable();
        TcpStream::connect_timeout(&address, PATIENCE)
            .err()
            .map(|_| format!("nobody answers at {address}, and {variable} is not set"))
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "SWITCHBOARD_TEST_POSTGRES_URL",
            Self::Mariadb => "SWITCHBOARD_TEST_MARIADB_URL",
        }
    }

    fn usual(self) -> &'static str {
        match self {
            Self::Postgres => "postgres://postgres@127.0.0.1:5432/postgres",
            Self::Mariadb => "mysql://root@127.0.0.1:3306/mysql",
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(1);
