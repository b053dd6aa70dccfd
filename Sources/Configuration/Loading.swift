internal import Foundation
internal import Limits
internal import Yams

/// Says why a file cannot be read.
enum FileCheck: Sendable {
  /// Files are not looked at: a text is checked on a machine that does not have them.
  case none
  case readable

  /// Nil when all is well; otherwise the end of the sentence "the file … which".
  func fault(_ path: String) -> String? {
    switch self {
    case .none: return nil
    case .readable:
      guard FileManager.default.fileExists(atPath: path) else { return "does not exist" }
      // Only a folder has an entry for itself.
      if FileManager.default.fileExists(atPath: path + "/.") { return "is a folder" }
      return FileManager.default.isReadableFile(atPath: path) ? nil : "may not be read by this user"
    }
  }
}

extension GatewayConfiguration {
  /// Processors of this machine: the default number of lanes and of signing threads.
  public static var processors: Int { max(1, ProcessInfo.processInfo.activeProcessorCount) }

  /// A configuration file may have this many octets; a larger one is something else by mistake.
  static let mostFileBytes = 1024 * 1024

  /// Reads and checks a configuration file, and that the files it names can be read.
  /// - Throws: everything that is wrong, at once, each with its place in the file and what to do about it.
  public static func load(path: String) throws(ConfigurationErrors) -> GatewayConfiguration {
    let absolute = path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
    let folder = String(absolute[..<(absolute.lastIndex(of: "/") ?? absolute.startIndex)])
    return try parse(try text(of: path), named: path, folder: folder.isEmpty ? "/" : folder, files: .readable)
  }

  /// Checks the text of a configuration file without looking at the files it names.
  /// - Parameters:
  ///   - file: what the file is called in messages.
  ///   - folder: what relative paths are joined to.
  /// - Throws: everything that is wrong, at once.
  public static func parse(_ text: String, named file: String, folder: String) throws(ConfigurationErrors) -> GatewayConfiguration {
    try parse(text, named: file, folder: folder, files: .none)
  }

  private static func parse(
    _ text: String, named file: String, folder: String, files: FileCheck
  ) throws(ConfigurationErrors) -> GatewayConfiguration {
    let log = ProblemLog(file: file)
    let document = Document(text, log: log)
    let reader = Reader(document: document, folder: folder, log: log, files: files)
    let configuration = log.problems.isEmpty ? reader.configuration() : nil
    guard let configuration, log.problems.isEmpty else { throw ConfigurationErrors(log.problems) }
    return configuration
  }

  private static func text(of path: String) throws(ConfigurationErrors) -> String {
    func fault(_ what: String, _ remedy: String) -> ConfigurationErrors {
      ConfigurationErrors([ConfigurationProblem(file: path, what: what, remedy: remedy)])
    }
    if let reason = FileCheck.readable.fault(path) { throw fault(reason, "name a configuration file that this user may read") }
    let octets: Data
    do { octets = try Data(contentsOf: URL(fileURLWithPath: path)) } catch {
      throw fault("cannot be read: \(error.localizedDescription)", "name a configuration file that this user may read")
    }
    guard octets.count <= mostFileBytes else { throw fault("has \(octets.count) octets, too many for a configuration", "name a YAML file") }
    guard let text = String(validating: octets, as: UTF8.self) else {
      throw fault("is not UTF-8", "save it as UTF-8, or name another file")
    }
    return text
  }
}

extension ScannerConfiguration {
  /// The folder for what archives hold while they are looked into: the one that is named, else `/dev/shm`, which is memory, else one
  /// below the data directory.
  public func temporaryFolder(dataDirectory: String) -> String {
    if let temporary { return temporary }
    return FileManager.default.fileExists(atPath: "/dev/shm/.") ? "/dev/shm" : dataDirectory + "/scan"
  }

  /// Path of `ceralacca-scanner`: the one that is named, else beside the running executable.
  public var executablePath: String {
    if let executable { return executable }
    let running = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    let folder = running[..<(running.lastIndex(of: "/") ?? running.startIndex)]
    return "\(folder)/ceralacca-scanner"
  }
}

extension RouteCredentials {
  /// The password: the first line of its file.
  /// - Throws: when the file cannot be read or begins with an empty line.
  public func password() throws(ConfigurationErrors) -> String { try PasswordFile.password(of: user, in: passwordFile) }
}

extension IndexFetchSettings {
  /// The password to bind with: the first line of its file; nil for an anonymous search.
  /// - Throws: when the file cannot be read or begins with an empty line.
  public func password() throws(ConfigurationErrors) -> String? {
    guard let bindDN, let passwordFile else { return nil }
    return try PasswordFile.password(of: bindDN, in: passwordFile)
  }
}

extension TimeStampAuthoritySettings {
  /// The password to say who we are with: the first line of its file; nil where nobody is asked.
  /// - Throws: when the file cannot be read or begins with an empty line.
  public func password() throws(ConfigurationErrors) -> String? {
    guard let user, let passwordFile else { return nil }
    return try PasswordFile.password(of: user, in: passwordFile)
  }
}

extension MailboxSearchSettings {
  /// The password of who asks: the first line of its file.
  /// - Throws: when the file cannot be read or begins with an empty line.
  public func password() throws(ConfigurationErrors) -> String { try PasswordFile.password(of: user, in: passwordFile) }
}

/// A file whose first line is a password.
private enum PasswordFile {
  static func password(of user: String, in path: String) throws(ConfigurationErrors) -> String {
    let octets = FileManager.default.contents(atPath: path) ?? Data()
    let line = octets.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
    guard !line.isEmpty, let password = String(validating: line, as: UTF8.self) else {
      throw ConfigurationErrors([
        ConfigurationProblem(
          file: path, what: "cannot be read or has no password", remedy: "write the password of user '\(user)' as its first line")
      ])
    }
    return password
  }
}
