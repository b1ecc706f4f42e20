CREATE TABLE "call_participations" (
	"id" uuid PRIMARY KEY NOT NULL,
	"call_id" uuid NOT NULL,
	"part_id" uuid NOT NULL,
	"user_id" uuid NOT NULL,
	"joined_at" timestamp (3) with time zone NOT NULL,
	"left_at" timestamp (3) with time zone,
	"ending" text,
	"heard_at" timestamp (3) with time zone NOT NULL,
	"spoke" boolean NOT NULL,
	"camera" boolean NOT NULL,
	"screen" boolean NOT NULL
);
--> statement-breakpoint
CREATE TABLE "calls" (
	"id" uuid PRIMARY KEY NOT NULL,
	"channel_id" uuid NOT NULL,
	"started_at" timestamp (3) with time zone NOT NULL,
	"ended_at" timestamp (3) with time zone,
	"ending" text,
	"peak" integer NOT NULL,
	"audited" text
);
--> statement-breakpoint
ALTER TABLE "call_participations" ADD CONSTRAINT "call_participations_call_id_calls_id_fk" FOREIGN KEY ("call_id") REFERENCES "public"."calls"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "call_participations_call" ON "call_participations" USING btree ("call_id","id");--> statement-breakpoint
CREATE INDEX "call_participations_part" ON "call_participations" USING btree ("part_id");--> statement-breakpoint
CREATE INDEX "call_participations_user" ON "call_participations" USING btree ("user_id","id");--> statement-breakpoint
CREATE INDEX "call_participations_open" ON "call_participations" USING btree ("heard_at") WHERE "call_participations"."left_at" is null;--> statement-breakpoint
CREATE INDEX "calls_channel" ON "calls" USING btree ("channel_id","id");--> statement-breakpoint
CREATE INDEX "calls_age" ON "calls" USING btree ("ended_at");--> statement-breakpoint
CREATE INDEX "calls_unsettled" ON "calls" USING btree ("ended_at") WHERE "calls"."audited" = 'started';