use heat_model::{GatewayId, NetworkId, record::Origin};

use super::*;

const SECOND: i64 = 1_000_000;
const HOLD: Duration = Duration::from_hours(1);
const NOW: i64 = 1_700_000_000;

fn id(number: u64) -> IncidentId {
    let network: NetworkId = "town".parse().unwrap();
    let gateway: GatewayId = "g".parse().unwrap();
    IncidentId::derive(&network, &Origin { gateway, epoch: 1, seq: number }, 0)
}

fn after(seconds: i64) -> EventTime {
    EventTime::from_micros((NOW + seconds) * SECOND)
}

fn found(name: &str, incident: u64, seconds: i64) -> Found {
    Found { id: name.to_owned(), incident: id(incident), ends: after(seconds) }
}

const ACKNOWLEDGED: Quiet = Quiet::WhileItLasts(AlarmState::Acknowledged);

fn acts(found: &[Found], wanted: &[(u64, Quiet)], known: &[u64]) -> Vec<Act> {
    let wanted = wanted.iter().map(|&(number, quiet)| (id(number), quiet)).collect();
    let known = |incident| known.iter().any(|&number| id(number) == incident);
    reconcile(found, &wanted, known, IngestTime::from_micros(NOW * SECOND), HOLD)
}

fn set(acts: &[Act]) -> Vec<(Option<&str>, EventTime)> {
    let set = acts.iter().filter_map(|act| match act {
        Act::Set { id, ends, .. } => Some((id.as_deref(), *ends)),
        Act::Expire { .. } => None,
    });
    set.collect()
}

fn expired(acts: &[Act]) -> Vec<&str> {
    let expired = acts.iter().filter_map(|act| match act {
        Act::Set { .. } => None,
        Act::Expire { id } => Some(id.as_str()),
    });
    expired.collect()
}

#[test]
fn an_acknowledged_incident_gets_a_silence_that_is_renewed_before_it_lapses() {
    assert_eq!(set(&acts(&[], &[(1, ACKNOWLEDGED)], &[1])), [(None, after(3600))]);
    assert!(acts(&[found("a", 1, 3000)], &[(1, ACKNOWLEDGED)], &[1]).is_empty());
    let renewed = acts(&[found("a", 1, 1700)], &[(1, ACKNOWLEDGED)], &[1]);
    assert_eq!(set(&renewed), [(Some("a"), after(3600))]);
    assert!(expired(&renewed).is_empty());
}

#[test]
fn a_shelved_incident_is_silent_until_its_shelving_ends() {
    let shelved = Quiet::Until(after(900));
    assert_eq!(set(&acts(&[], &[(1, shelved)], &[1])), [(None, after(900))]);
    assert!(acts(&[found("a", 1, 900)], &[(1, shelved)], &[1]).is_empty());
    // Acknowledged for an hour before, then shelved for less.
    assert_eq!(set(&acts(&[found("a", 1, 3600)], &[(1, shelved)], &[1])), [(Some("a"), after(900))]);
    assert!(set(&acts(&[], &[(1, Quiet::Until(after(-1)))], &[1])).is_empty());
}

#[test]
fn a_silence_goes_when_nobody_takes_care_any_longer_and_another_citys_stays() {
    let silences = [found("ours", 1, 3600), found("theirs", 2, 3600)];
    assert_eq!(expired(&acts(&silences, &[], &[1])), ["ours"]);
}

#[test]
fn of_two_silences_for_one_incident_the_longer_stays() {
    let silences = [found("short", 1, 2000), found("long", 1, 3000)];
    let acts = acts(&silences, &[(1, ACKNOWLEDGED)], &[1]);
    assert_eq!((set(&acts).len(), expired(&acts)), (0, vec!["short"]));
}

#[test]
fn what_is_set_is_found_again_and_other_peoples_silences_are_not_ours() {
    let now = IngestTime::from_micros(NOW * SECOND);
    let json = to_json(None, id(1), now, after(60), "why").unwrap();
    let mut listed: serde_json::Value = serde_json::from_slice(&json).unwrap();
    listed["id"] = "a".into();
    listed["status"] = serde_json::json!({ "state": "active" });
    listed["updatedAt"] = listed["startsAt"].clone();
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut one = listed.clone();
        change(&mut one);
        from_json(&serde_json::to_vec(&[one]).unwrap()).unwrap()
    };

    assert_eq!(with(&|_| {}), [found("a", 1, 60)]);
    assert!(with(&|one| one["createdBy"] = "alice".into()).is_empty());
    assert!(with(&|one| one["status"]["state"] = "expired".into()).is_empty());
    assert!(with(&|one| one["matchers"][0]["isRegex"] = true.into()).is_empty());
    assert!(with(&|one| one["matchers"][1]["value"] = "no id".into()).is_empty());
}
