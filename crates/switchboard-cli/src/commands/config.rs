//! `config show`: the whole configuration, each value with where it came from.

use super::closed;
use super::explain::settings_table;
use crate::desk::Desk;
use crate::failure::{Exit, Result};
use crate::session::Session;

pub(super) async fn show(session: &mut Session) -> Result<Exit> {
    let desk = Desk::reading(session).await?;
    let configuration = desk.configuration().await;
    let configuration = closed(desk, configuration).await?;
    if session.screen.is_json() {
        session.screen.write_json(&configuration)?;
    } else {
        session.screen.write_table(&settings_table(&configuration).indented(0))?;
    }
    Ok(Exit::Fine)
}
