import Foundation
import Testing

/// `tools/reader.py`, which was written from `format-spec.md` alone, as a reader of queues.
enum QueueReader {
  /// A line for each message that waits in a store's folder or in a queue file: device, number,
  /// delivery count, message id, properties, body; and the reader's exit status.
  static func read(_ path: URL) throws -> (lines: [String], status: Int32) {
    let (text, status) = try run(["--queues", path.path()])
    return (try text.split(separator: "\n").map { try Self.line(ofJSON: $0) }, status)
  }

  /// What the reader prints with these arguments, and its exit status.
  static func run(_ arguments: [String]) throws -> (text: String, status: Int32) {
    let output = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    try Data().write(to: output)
    defer { try? FileManager.default.removeItem(at: output) }
    let reader = GoldenStoreTests.here.deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "tools/reader.py")
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3", reader.path()] + arguments
    process.standardOutput = try FileHandle(forWritingTo: output)
    try process.run()
    process.waitUntilExit()
    return (try String(contentsOf: output, encoding: .utf8), process.terminationStatus)
  }

  private static func line(ofJSON text: Substring) throws -> String {
    let parsed = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
    let object = try #require(parsed)
    let properties = (object["properties"] as? [String: String] ?? [:])
      .map { "\($0.key)=\($0.value)" }.sorted()
    let fields: [String?] = [
      object["deviceId"] as? String, (object["sequenceNumber"] as? Int).map(String.init),
      (object["deliveryCount"] as? Int).map(String.init), object["messageId"] as? String,
      properties.joined(separator: ","), object["body"] as? String,
    ]
    return fields.map { $0 ?? "-" }.joined(separator: "\t")
  }
}
