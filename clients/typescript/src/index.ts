/** The public promise of this package. */

export { create } from "@bufbuild/protobuf";
export { Code, type CallOptions } from "@connectrpc/connect";
export * from "../gen/maestro/v1/capability_pb.js";
export * from "../gen/maestro/v1/chat_pb.js";
export * from "../gen/maestro/v1/common_pb.js";
export * from "../gen/maestro/v1/content_pb.js";
export * from "../gen/maestro/v1/error_pb.js";
export { connect, type Chat, type Client, type Settings } from "./client.js";
export { MaestroError } from "./error.js";
export { Answer, foldChat } from "./fold.js";
export { text, toolCalls, user } from "./part.js";
