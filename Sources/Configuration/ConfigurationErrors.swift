/// One thing that is wrong with a configuration file, said so that whoever wrote the file can mend it.
public struct ConfigurationProblem: Sendable, Equatable, CustomStringConvertible {
  /// The file, as it was named by whoever asked for it.
  public var file: String
  /// Line and column, counted from 1; 0 when the problem belongs to no place in the file.
  public var line: Int
  public var column: Int
  /// The key with those it stands in, such as `listeners[0].port`; empty when the problem belongs to no key.
  public var key: String
  /// What is wrong.
  public var what: String
  /// What to do about it.
  public var remedy: String

  /// A problem at a place of a file.
  public init(file: String, line: Int = 0, column: Int = 0, key: String = "", what: String, remedy: String) {
    self.file = file
    self.line = line
    self.column = column
    self.key = key
    self.what = what
    self.remedy = remedy
  }

  /// `file:line:column: key 'x': what is wrong; what to do`, as editors and compilers understand it.
  public var description: String {
    let place = line > 0 ? "\(file):\(line):\(column)" : file
    let subject = key.isEmpty ? "" : "key '\(key)': "
    return "\(place): \(subject)\(what); \(remedy)"
  }
}

/// Everything that is wrong with a configuration file, in the order of the file.
public struct ConfigurationErrors: Error, Sendable, Equatable, CustomStringConvertible {
  /// The problems; never empty.
  public var problems: [ConfigurationProblem]

  /// Problems found together.
  public init(_ problems: [ConfigurationProblem]) { self.problems = problems }

  /// One line for each problem.
  public var description: String { problems.map(\.description).joined(separator: "\n") }
}
