//! Words of the report that are no figure's.

use heat_model::incident::Class;

use super::Lang;
use crate::{ground::Scope, peers::SizeBasis};

/// What a class is called.
pub(crate) fn class(lang: Lang, class: Class) -> &'static str {
    lang.pick([class.chinese(), class.english()])
}

/// What a scope is called.
pub(crate) fn scope(lang: Lang, scope: &Scope) -> String {
    match scope {
        Scope::City => lang.pick(["全市", "City"]).to_owned(),
        Scope::Operator(name) | Scope::District(name) => name.clone(),
        Scope::Network(id) => id.to_string(),
    }
}

/// The word of a scope's kind in tables for programs.
pub(crate) const fn scope_kind(scope: &Scope) -> &'static str {
    match scope {
        Scope::City => "city",
        Scope::Operator(_) => "operator",
        Scope::District(_) => "district",
        Scope::Network(_) => "network",
    }
}

/// A kind of station fault.
pub(crate) fn kind(lang: Lang, kind: &str) -> String {
    let both = match kind {
        "high_return" => ["回水偏高", "high return"],
        "fouled" => ["换热器结垢", "fouled exchanger"],
        "short_circuit" => ["短路", "short circuit"],
        "stuck_valve" => ["阀门卡涩", "stuck valve"],
        "overheating" => ["过热", "overheating"],
        "below_set_point" => ["低于设定", "below set point"],
        "pump_failure" => ["循环泵故障", "pump failure"],
        "cold_arrival" => ["到站供温偏低", "water arrives too cold"],
        "blocked_strainer" => ["除污器堵塞", "blocked strainer"],
        "imbalance" => ["水力失调", "hydraulic imbalance"],
        "exchanger_leak" => ["换热器内漏", "exchanger leak"],
        "return_above_peers" => ["回水高于同类站", "return above its peers'"],
        "underheating" => ["室温不达标", "underheating"],
        other => return other.replace('_', " "),
    };
    lang.pick(both).to_owned()
}

/// What a station's size is taken from, with its unit.
pub(crate) const fn size(basis: SizeBasis) -> &'static str {
    match basis {
        SizeBasis::HeatedArea => "m²",
        SizeBasis::Heat => "GJ/d",
        SizeBasis::Flow => "t/d",
    }
}

/// What became of a repair.
pub(crate) fn outcome(lang: Lang, outcome: &str) -> &'static str {
    match outcome {
        "verified" => lang.pick(["已验证", "verified"]),
        "reopened" => lang.pick(["复发重开", "reopened"]),
        _ => lang.pick(["待验证", "to be verified"]),
    }
}

/// A number with as many decimals as it deserves: none if it is whole, else three digits, or all before the point.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if size >= 100.0 || (value - value.round()).abs() < 1e-9 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    if !rest.is_empty() {
        grouped.push('.');
        grouped.push_str(rest);
    }
    grouped
}
