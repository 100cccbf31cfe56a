//! The drivers that come with the crate: one line each.

switchboard_core::drivers! { for crate::Databases:
    sqlite if "sqlite";
    postgres if "postgres";
    mysql if "mysql";
}
