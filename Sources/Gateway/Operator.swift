public import EventLoop
import Octets

/// Who gives an order, as log lines and rows of the certified log name him: `operator root (uid 0)`.
///
/// On the control socket it is the user whom the kernel saw connect, and not what somebody says of himself.
public struct Operator: Sendable, CustomStringConvertible {
  public let description: String

  /// A user of this system; his name is looked up, which is not for a lane.
  /// - Parameters:
  ///   - user: nil when the kernel does not say.
  ///   - claim: on whose behalf he says that he acts (SUDO_USER): his word alone.
  public init(_ user: LocalUser?, claim: String? = nil) {
    guard let user else {
      description = "operator unknown"
      return
    }
    let name = user.name
    var words = "operator \(name.map { "\(ASCII.escaped($0)) (uid \(user.id))" } ?? "uid \(user.id)")"
    if let claim, claim != name { words += ", SUDO_USER says \(ASCII.escaped(claim))" }
    description = words
  }
}

extension ControlRequest {
  /// What is asked, for a log line; nil for what changes nothing, and for all but the first of many pages.
  var order: String? {
    guard let queue else { return verb == "status" ? nil : ([verb] + [entry].compactMap { $0 }).joined(separator: " ") }
    guard queue.word != .underWay, queue.after == nil else { return nil }
    return "queue \(queue.word.rawValue) \(queue.scope?.words ?? "")"
  }
}
