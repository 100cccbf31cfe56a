//! The drivers that come with the crate: one line each.

switchboard_core::drivers! { for crate::Disks:
    memory;
    local if "local";
    cached if "cached";
    prefix;
    read_only;
    s3 if "s3";
    azure if "azure";
    gcs if "gcs";
    http if "http";
}
