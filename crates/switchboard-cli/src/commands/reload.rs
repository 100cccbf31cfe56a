//! `reload`: the running board reads its configuration again.

use super::{closed, plan};
use crate::desk::Desk;
use crate::failure::{Exit, Result};
use crate::session::Session;

pub(super) async fn run(session: &mut Session) -> Result<Exit> {
    let desk = Desk::acting(session).await?;
    if matches!(desk, Desk::Running(_)) {
        session.note_other_files();
    }
    let reloaded = desk.reload().await;
    let reloaded = closed(desk, reloaded).await?;
    plan::write(&mut session.screen, &reloaded, "changed")?;
    Ok(Exit::Fine)
}
