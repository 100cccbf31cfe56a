//! The drivers that come with the crate: one line each.

switchboard_core::drivers! { for crate::Databases:
    sqlite if "sqlite";
    postgres if "postgres";
    mysql if "mysql";
}

/// How the SQL of a driver that comes with the crate is written, by the name of the driver. `None` for
/// others, and for those that are not built in.
pub fn dialect(driver: &str) -> Option<&'static crate::Dialect> {
    match driver {
        #[cfg(feature = "sqlite")]
        "sqlite" => Some(&sqlite::DIALECT),
        #[cfg(feature = "postgres")]
        "postgres" => Some(&postgres::DIALECT),
        #[cfg(feature = "mysql")]
        "mysql" => Some(&mysql::DIALECT),
        _ => None,
    }
}
