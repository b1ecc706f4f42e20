CREATE TABLE "audit_batches" (
	"number" bigint PRIMARY KEY NOT NULL,
	"kind" text NOT NULL,
	"size" integer NOT NULL,
	"start" bigint NOT NULL,
	"root" "bytea" NOT NULL,
	"previous" "bytea",
	"at" timestamp (3) with time zone NOT NULL,
	"key_id" text NOT NULL,
	"subtrees" "bytea" NOT NULL,
	"signature" "bytea" NOT NULL,
	"leaves" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "audit_cuts" (
	"batch" bigint PRIMARY KEY NOT NULL,
	"removed" "bytea" NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"key_id" text NOT NULL,
	"signature" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "audit_erasures" (
	"subject" uuid PRIMARY KEY NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"done_at" timestamp (3) with time zone,
	"key_id" text NOT NULL,
	"signature" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "audit_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"position" integer NOT NULL,
	"public_key" "bytea" NOT NULL,
	"sealed" "bytea" NOT NULL,
	"data_key_id" uuid NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"retired_at" timestamp (3) with time zone,
	"endorsement" "bytea",
	CONSTRAINT "audit_keys_position_unique" UNIQUE("position")
);
--> statement-breakpoint
CREATE TABLE "audit_log" (
	"id" integer PRIMARY KEY NOT NULL,
	"log_id" uuid NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"adopted_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "audit_pending" (
	"number" bigint PRIMARY KEY NOT NULL,
	"rows" "bytea" NOT NULL,
	"data_key_id" uuid NOT NULL,
	"acknowledged_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "audit_verifications" (
	"id" uuid PRIMARY KEY NOT NULL,
	"state" text NOT NULL,
	"asked_by" uuid,
	"from_batch" bigint,
	"to_batch" bigint,
	"checkpoint" text,
	"batches" bigint DEFAULT 0 NOT NULL,
	"events" bigint DEFAULT 0 NOT NULL,
	"total_events" bigint,
	"intact" boolean,
	"finding_count" integer DEFAULT 0 NOT NULL,
	"findings" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"error" text,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"finished_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE INDEX "audit_erasures_due" ON "audit_erasures" USING btree ("at") WHERE "audit_erasures"."done_at" is null;--> statement-breakpoint
CREATE INDEX "audit_verifications_created" ON "audit_verifications" USING btree ("created_at");--> statement-breakpoint
ALTER TABLE "audit_batches" ALTER COLUMN "leaves" SET STORAGE EXTERNAL;--> statement-breakpoint
ALTER TABLE "audit_pending" ALTER COLUMN "rows" SET STORAGE EXTERNAL;
