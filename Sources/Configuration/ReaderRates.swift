internal import Limits
internal import Yams

/// How often users and peers may come.
extension Reader {
  /// A number, or the word `none`.
  func rates(_ section: Section, _ limits: inout Limits) {
    for key in LimitKey.ofRates {
      guard let setting = section.optional(key.name) else { continue }
      if case .scalar(let scalar) = setting.node, scalar.string == "none" {
        limits[keyPath: key.bound] = nil
      } else if let value = section.number(setting, LimitKey.rateRange, whole: true, orElse: " or none") {
        limits[keyPath: key.bound] = Int(value)
      }
    }
  }
}
