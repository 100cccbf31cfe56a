use crate::counters::CountersSubsystem;

switchboard_core::drivers! { for CountersSubsystem:
    memory;
    null;
    redis if "redis";
}
