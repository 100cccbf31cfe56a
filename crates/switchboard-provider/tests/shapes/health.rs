//! A provider that says it is not available.

use std::time::Duration;

use switchboard_core::{HealthCheck, Policy, Result, Status};

use crate::families::{Ask, Lengths, Played, serving};

const LIMIT: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn it_is_down_and_groups_avoid_it_until_it_is_back() -> Result<()> {
    let (first, second) = (Played::new(), Played::new());
    let lengths = serving::<Lengths>(first.clone(), Policy::default())?;
    lengths.insert("spare", second.clone())?;
    lengths.group("both", &["main", "spare"], HealthCheck)?;
    let both = lengths.handle("both")?;
    let asked = || (first.asked(Ask::Execute), second.asked(Ask::Execute));

    both.execute("four".to_owned()).await?;
    assert_eq!(asked(), (1, 0));
    first.set_available(false);
    both.execute("four".to_owned()).await?;
    assert_eq!(asked(), (2, 0), "nobody asks on the way of a call");

    let reports = lengths.health(LIMIT).await;
    let statuses: Vec<_> =
        reports.iter().map(|report| (&*report.instance, report.health.status)).collect();
    let expected =
        [("both", Status::Degraded), ("main", Status::Down), ("spare", Status::NotChecked)];
    assert_eq!(statuses, expected);
    let reason = reports[1].health.reason.as_deref();
    assert_eq!(reason, Some("the provider says that it is not available"));
    both.execute("four".to_owned()).await?;
    assert_eq!(asked(), (2, 1));

    first.set_available(true);
    lengths.health(LIMIT).await;
    both.execute("four".to_owned()).await?;
    assert_eq!(asked(), (3, 1));
    Ok(())
}
