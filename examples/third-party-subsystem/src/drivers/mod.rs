//! The drivers of this build: one line each.

use crate::FlagsSubsystem;

switchboard_core::drivers! { for FlagsSubsystem:
    fixed;
    file;
}
