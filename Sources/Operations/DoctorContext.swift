import Configuration
import Foundation
import Gateway
import Octets
import PEC
import Supervision

/// The gateway as it is met.
enum DoctorGateway: Sendable {
  case running(StatusReport)
  case absent
  /// It answers, and is not through with its start: what it says.
  case starting(String)
  /// It holds its socket and does not answer: what was tried.
  case silent(String)
  /// This user may not ask it.
  case closed(String)

  var word: String {
    switch self {
    case .running: "running"
    case .absent: "absent"
    case .starting: "starting"
    case .silent: "silent"
    case .closed: "closed"
    }
  }

  var report: StatusReport? {
    switch self {
    case .running(let report): report
    case .absent, .starting, .silent, .closed: nil
    }
  }

  /// Asks the gateway of a data directory.
  static func meet(_ dataDirectory: String) -> DoctorGateway {
    let path = Gateway.controlPath(dataDirectory)
    do { return .running(try StatusCommand.ask(dataDirectory: dataDirectory, withinSeconds: 3)) } catch let failure as CommandFailure {
      if failure.exitCode == CommandFailure.tryAgain { return .starting(failure.message) }
      if failure.message.contains("no answer within") { return .silent(failure.message) }
      guard failure.exitCode == CommandFailure.unavailable else { return .silent(failure.message) }
      let isThere = FileManager.default.fileExists(atPath: path)
      let mayLook = FileManager.default.isExecutableFile(atPath: dataDirectory) || !FileManager.default.fileExists(atPath: dataDirectory)
      return (isThere && !FileManager.default.isWritableFile(atPath: path)) || !mayLook ? .closed(path) : .absent
    } catch { return .silent("\(error)") }
  }
}

/// What all checks of one run have in common.
struct DoctorContext: Sendable {
  let configuration: GatewayConfiguration
  let configurationFile: String
  let gateway: DoctorGateway
  let judge: DoctorJudge
  /// Who the gateway is, or will be.
  let user: String
  let identity: SystemIdentity

  var now: Int64 { judge.now }

  init(_ configuration: GatewayConfiguration, file: String, gateway: DoctorGateway, now: Int64) {
    self.configuration = configuration
    configurationFile = file
    self.gateway = gateway
    judge = DoctorJudge(now: now)
    let running = gateway.report.flatMap { DoctorContext.rights("/proc/\($0.process)") }
    if let name = running?.ownerName ?? configuration.user, let known = SystemUser.identity(of: name) {
      (user, identity) = (name, known)
    } else if let running {
      (user, identity) = (running.ownerName, SystemIdentity(user: running.owner, groups: [running.group]))
    } else {
      (user, identity) = (SystemUser.name, SystemUser.current)
    }
  }

  /// A file's owner and mode, links followed; nil when it cannot be looked at.
  static func rights(_ path: String) -> FileRights? {
    let real = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    guard let found = try? FileManager.default.attributesOfItem(atPath: real), let mode = (found[.posixPermissions] as? NSNumber)?.intValue,
      let owner = (found[.ownerAccountID] as? NSNumber)?.uint32Value, let group = (found[.groupOwnerAccountID] as? NSNumber)?.uint32Value
    else { return nil }
    let name = found[.ownerAccountName] as? String ?? ""
    return FileRights(path: real, mode: mode, owner: owner, ownerName: name.isEmpty ? "\(owner)" : name, group: group)
  }

  /// The folders above a path, from the root down.
  static func folders(above path: String) -> [FileRights] {
    var found: [FileRights] = []
    var url = URL(fileURLWithPath: path).resolvingSymlinksInPath().deletingLastPathComponent()
    while true {
      if let rights = rights(url.path) { found.append(rights) }
      if url.path == "/" || found.count > 64 { break }
      url = url.deletingLastPathComponent()
    }
    return found.reversed()
  }
}
