//! The alerts' runbook pages, so that the links on a page lead somewhere without the internet.

use axum::{
    extract::Path,
    http::header,
    response::{IntoResponse as _, Response},
};

use crate::problem::Problem;

/// Where they are.
pub(super) const PATH: &str = "/runbooks/{name}";

/// The pages by the names of their alerts, in order.
const PAGES: [(&str, &str); 58] = [
    ("HeatAlarmFlood", include_str!("../../../../deploy/runbooks/HeatAlarmFlood.md")),
    ("HeatAlarmsChattering", include_str!("../../../../deploy/runbooks/HeatAlarmsChattering.md")),
    ("HeatAlarmsStanding", include_str!("../../../../deploy/runbooks/HeatAlarmsStanding.md")),
    (
        "HeatAlertmanagerUnreachable",
        include_str!("../../../../deploy/runbooks/HeatAlertmanagerUnreachable.md"),
    ),
    ("HeatAlertsRefused", include_str!("../../../../deploy/runbooks/HeatAlertsRefused.md")),
    ("HeatApiErrors", include_str!("../../../../deploy/runbooks/HeatApiErrors.md")),
    ("HeatApiSlow", include_str!("../../../../deploy/runbooks/HeatApiSlow.md")),
    ("HeatArchiveFilesMissing", include_str!("../../../../deploy/runbooks/HeatArchiveFilesMissing.md")),
    ("HeatArchiverCommitOld", include_str!("../../../../deploy/runbooks/HeatArchiverCommitOld.md")),
    ("HeatArchiverLagging", include_str!("../../../../deploy/runbooks/HeatArchiverLagging.md")),
    ("HeatArchiverStoreStalled", include_str!("../../../../deploy/runbooks/HeatArchiverStoreStalled.md")),
    ("HeatBrokerDisconnected", include_str!("../../../../deploy/runbooks/HeatBrokerDisconnected.md")),
    ("HeatCanaryLate", include_str!("../../../../deploy/runbooks/HeatCanaryLate.md")),
    ("HeatCanaryNotArchived", include_str!("../../../../deploy/runbooks/HeatCanaryNotArchived.md")),
    ("HeatCanaryNotShown", include_str!("../../../../deploy/runbooks/HeatCanaryNotShown.md")),
    ("HeatCertificateRefused", include_str!("../../../../deploy/runbooks/HeatCertificateRefused.md")),
    ("HeatChamberFlooded", include_str!("../../../../deploy/runbooks/HeatChamberFlooded.md")),
    ("HeatConnectionsRefused", include_str!("../../../../deploy/runbooks/HeatConnectionsRefused.md")),
    ("HeatDeviceClocksWrong", include_str!("../../../../deploy/runbooks/HeatDeviceClocksWrong.md")),
    (
        "HeatDifferentialPressureLow",
        include_str!("../../../../deploy/runbooks/HeatDifferentialPressureLow.md"),
    ),
    ("HeatFalsePagesOverBudget", include_str!("../../../../deploy/runbooks/HeatFalsePagesOverBudget.md")),
    ("HeatFilesRunningOut", include_str!("../../../../deploy/runbooks/HeatFilesRunningOut.md")),
    ("HeatGatewayBufferDamaged", include_str!("../../../../deploy/runbooks/HeatGatewayBufferDamaged.md")),
    ("HeatGatewayBufferFailing", include_str!("../../../../deploy/runbooks/HeatGatewayBufferFailing.md")),
    ("HeatGatewayBufferFull", include_str!("../../../../deploy/runbooks/HeatGatewayBufferFull.md")),
    ("HeatGatewayBufferOld", include_str!("../../../../deploy/runbooks/HeatGatewayBufferOld.md")),
    ("HeatGatewayBuffering", include_str!("../../../../deploy/runbooks/HeatGatewayBuffering.md")),
    ("HeatGatewayLogStalled", include_str!("../../../../deploy/runbooks/HeatGatewayLogStalled.md")),
    ("HeatHeartbeatMissing", include_str!("../../../../deploy/runbooks/HeatHeartbeatMissing.md")),
    ("HeatIncident", include_str!("../../../../deploy/runbooks/HeatIncident.md")),
    ("HeatIncidentsDropped", include_str!("../../../../deploy/runbooks/HeatIncidentsDropped.md")),
    ("HeatMakeUpHigh", include_str!("../../../../deploy/runbooks/HeatMakeUpHigh.md")),
    ("HeatMakeUpTankLow", include_str!("../../../../deploy/runbooks/HeatMakeUpTankLow.md")),
    ("HeatNothingReceived", include_str!("../../../../deploy/runbooks/HeatNothingReceived.md")),
    ("HeatPageUnacknowledged", include_str!("../../../../deploy/runbooks/HeatPageUnacknowledged.md")),
    ("HeatPartNotReady", include_str!("../../../../deploy/runbooks/HeatPartNotReady.md")),
    ("HeatPlantModelRefused", include_str!("../../../../deploy/runbooks/HeatPlantModelRefused.md")),
    ("HeatPowerLost", include_str!("../../../../deploy/runbooks/HeatPowerLost.md")),
    ("HeatProcessRestarting", include_str!("../../../../deploy/runbooks/HeatProcessRestarting.md")),
    ("HeatProcessorLagging", include_str!("../../../../deploy/runbooks/HeatProcessorLagging.md")),
    ("HeatProcessorSnapshotOld", include_str!("../../../../deploy/runbooks/HeatProcessorSnapshotOld.md")),
    ("HeatPumpsStopped", include_str!("../../../../deploy/runbooks/HeatPumpsStopped.md")),
    ("HeatReadTrouble", include_str!("../../../../deploy/runbooks/HeatReadTrouble.md")),
    ("HeatReadingsLate", include_str!("../../../../deploy/runbooks/HeatReadingsLate.md")),
    ("HeatRecordsMissing", include_str!("../../../../deploy/runbooks/HeatRecordsMissing.md")),
    ("HeatRecordsUndecodable", include_str!("../../../../deploy/runbooks/HeatRecordsUndecodable.md")),
    ("HeatRejectsHigh", include_str!("../../../../deploy/runbooks/HeatRejectsHigh.md")),
    ("HeatReturnPressureLow", include_str!("../../../../deploy/runbooks/HeatReturnPressureLow.md")),
    ("HeatRoomsCold", include_str!("../../../../deploy/runbooks/HeatRoomsCold.md")),
    ("HeatSecondarySupplyCold", include_str!("../../../../deploy/runbooks/HeatSecondarySupplyCold.md")),
    ("HeatSeriesDropped", include_str!("../../../../deploy/runbooks/HeatSeriesDropped.md")),
    ("HeatSignalsVanished", include_str!("../../../../deploy/runbooks/HeatSignalsVanished.md")),
    ("HeatSupplyPressureHigh", include_str!("../../../../deploy/runbooks/HeatSupplyPressureHigh.md")),
    ("HeatSupplyTemperatureHigh", include_str!("../../../../deploy/runbooks/HeatSupplyTemperatureHigh.md")),
    (
        "HeatSupplyTemperatureOffTarget",
        include_str!("../../../../deploy/runbooks/HeatSupplyTemperatureOffTarget.md"),
    ),
    ("HeatTargetAbsent", include_str!("../../../../deploy/runbooks/HeatTargetAbsent.md")),
    ("HeatTargetDown", include_str!("../../../../deploy/runbooks/HeatTargetDown.md")),
    ("Watchdog", include_str!("../../../../deploy/runbooks/Watchdog.md")),
];

/// One page, as it was written: Markdown is readable as text.
pub(super) async fn page(Path(name): Path<String>) -> Response {
    match PAGES.binary_search_by_key(&name.as_str(), |(name, _)| name) {
        Ok(index) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], PAGES[index].1).into_response(),
        Err(_) => Problem::not_found("no alert of this name has a runbook").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_of_the_repository_is_served_and_is_found() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/runbooks");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".md")?.to_owned()))
            .collect();
        files.sort();

        let names: Vec<_> = PAGES.iter().map(|(name, _)| *name).collect();

        assert_eq!(names, files, "PAGES lists the pages in the order of their names");
    }
}
